import type { Kysely } from 'kysely'
import type { Migration, MigrationProvider } from 'kysely/migration'

/**
 * Every change of the schema, in order, when a database is opened. Each can be applied again: a process can be killed in
 * the middle of one, and two can open a new file at the same time.
 */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_entries': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('entries')
        .ifNotExists()
        .addColumn('tenant', 'text', (column) => column.notNull())
        .addColumn('id', 'text', (column) => column.notNull())
        .addColumn('kind', 'text', (column) => column.notNull())
        .addColumn('at_ms', 'integer', (column) => column.notNull())
        .addColumn('subject', 'text')
        .addColumn('user_name', 'text')
        .addColumn('group_name', 'text')
        .addColumn('plan', 'text')
        .addColumn('provider', 'text')
        .addColumn('operation', 'text')
        .addColumn('model', 'text')
        .addColumn('outcome', 'text')
        .addColumn('overage', 'integer', (column) => column.notNull())
        .addColumn('basis', 'text')
        .addColumn('input_tokens', 'integer')
        .addColumn('output_tokens', 'integer')
        .addColumn('total_tokens', 'integer')
        .addColumn('cache_read_tokens', 'integer')
        .addColumn('cache_write_tokens', 'integer')
        .addColumn('reasoning_tokens', 'integer')
        .addColumn('detail', 'text', (column) => column.notNull())
        .addUniqueConstraint('entries_tenant_id', ['tenant', 'id'])
        .execute()
      await db.schema
        .createIndex('entries_tenant_at')
        .ifNotExists()
        .on('entries')
        .columns(['tenant', 'at_ms'])
        .execute()
      await db.schema
        .createIndex('entries_tenant_subject_at')
        .ifNotExists()
        .on('entries')
        .columns(['tenant', 'subject', 'at_ms'])
        .execute()
    },
  },
  '0002_calibration': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('calibration')
        .ifNotExists()
        .addColumn('turn', 'integer', (column) => column.primaryKey())
        .addColumn('name', 'text', (column) => column.notNull().unique())
        .addColumn('samples', 'text', (column) => column.notNull())
        .execute()
    },
  },
}

/** Hands the migrations to Kysely's migrator. */
export const migrationProvider: MigrationProvider = {
  getMigrations: async () => MIGRATIONS,
}
