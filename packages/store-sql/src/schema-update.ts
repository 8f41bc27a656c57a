import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import { migrationProvider } from './migrations.ts'
import type { Schema } from './schema.ts'

/** How often it is tried to bring the schema up to date. */
const MOST_MIGRATIONS = 5

/** A database whose schema is up to date. Another process may do the same just now: then one of the two finds it done. */
export async function upToDate(database: DatabaseSync): Promise<Kysely<Schema>> {
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: forKysely(database) }) })
  for (let tries = 1; ; tries += 1) {
    const { error } = await new Migrator({ db, provider: migrationProvider }).migrateToLatest()
    if (error === undefined) return db
    if (tries === MOST_MIGRATIONS) throw error
    await new Promise((resolve) => setTimeout(resolve, 20 * tries))
  }
}

/** `node:sqlite` in the shape that Kysely's dialect knows. */
function forKysely(database: DatabaseSync): ConstructorParameters<typeof SqliteDialect>[0]['database'] {
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql)
      const spread = (parameters: readonly unknown[]): SQLInputValue[] => [...(parameters as SQLInputValue[])]
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...spread(parameters)),
        run: (parameters) => statement.run(...spread(parameters)),
        iterate: (parameters) => statement.iterate(...spread(parameters)),
      }
    },
  }
}
