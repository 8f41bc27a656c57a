import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryLedger, type CounterEvent, type CounterEventQuery, type Entry, type Ledger } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-events-'))
let files = 0
const newFile = (): string => join(folder, `ledger-${(files += 1)}.db`)
after(() => rmSync(folder, { recursive: true, force: true }))

const tenant = fc.constantFrom('t', 'other')
const subject = fc.constantFrom('alice', 'bob', '"; drop table entries')
const partition = fc.constantFrom('tenant=t,key=alice', 'tenant=t,key=bob', 'tenant=t', 'tenant=t,key=%22%3B')
const counter = fc.constantFrom('pro/day', 'pro/month')
const atMs = fc.integer({ min: 0, max: 20 })
const about = { id: fc.nat(40).map((id) => `e${id}`), tenant, atMs, partition, counter }
const charge = fc.record({ partition, counter, reserved: fc.nat(9), actual: fc.nat(9) })
const amount = fc.nat(9)
const entry: fc.Arbitrary<Entry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({ id: about.id, tenant, atMs, subject, admittedAtMs: atMs, charges: fc.array(charge, { maxLength: 3 }) })
      .map((call): Entry => {
        const charges = call.charges.map((each) => ({ ...each, owner: 'o', unit: 'tokens' as const }))
        const rest = {
          dimensions: {},
          plans: [],
          outcome: 'complete',
          streamed: false,
          durationMs: 0,
          overage: false,
        } as const
        return { kind: 'usage', callId: call.id, ...call, ...rest, charges }
      }),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ ...about, amount, adjustment: fc.constantFrom('reset', 'top-up', 'refund') })
      .map((each): Entry => ({ kind: 'adjustment', owner: 'o', unit: 'tokens', ...each })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ ...about, endMs: fc.constantFrom(null, 5), quota: fc.constantFrom(null, 7) })
      .map((each): Entry => ({ kind: 'window-start', owner: 'o', ...each })),
  },
)
const query: fc.Arbitrary<CounterEventQuery> = fc
  .record({
    subject: fc.option(subject, { nil: undefined }),
    counters: fc.uniqueArray(fc.record({ partition, name: counter }), {
      minLength: 1,
      maxLength: 3,
      selector: ({ partition, name }) => `${partition} ${name}`,
    }),
    fromMs: fc.nat(10),
    limit: fc.integer({ min: 1, max: 8 }),
  })
  .map((each) => ({ tenant: 't', ...each }))

/** All events, page by page. */
async function eventsIn(ledger: Ledger, query: CounterEventQuery): Promise<CounterEvent[]> {
  const all: CounterEvent[] = []
  let { after } = query
  for (;;) {
    const { events, next } = await ledger.counterEvents({ ...query, after })
    all.push(...events)
    if (next === undefined) return all
    after = next
  }
}

describe('SqliteLedger, asked for the history of counters', () => {
  it('tells the same as MemoryLedger', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 30 }), query, fc.nat(20), async (entries, query, toMs) => {
        const sqlite = await SqliteLedger.open({ file: newFile() })
        const memory = new MemoryLedger()
        for (const ledger of [sqlite, memory]) await ledger.append(entries)
        const ids = entries.map(({ id }) => id)
        const answers = await Promise.all(
          [sqlite, memory].map(async (ledger) => ({
            events: await eventsIn(ledger, query),
            starts: (await ledger.windowStarts({ ...query, toMs })).toSorted((a, b) => a.counter - b.counter),
            found: (await ledger.find('t', ids)).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
          })),
        )
        await sqlite.close()
        expect(JSON.parse(JSON.stringify(answers[0]))).to.deep.equal(JSON.parse(JSON.stringify(answers[1])))
      }),
      { numRuns: runs(40) },
    )
  })

  it('finds the entries of a caller, and all adjustments, by the index', async () => {
    const file = newFile()
    const ledger = await SqliteLedger.open({ file })
    await ledger.close()
    const { eventRowsQuery } = await import('../src/counter-event-query.ts')
    const { Kysely, SqliteAdapter, SqliteQueryCompiler, DummyDriver } = await import('kysely')
    const db = new Kysely<never>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: () => undefined as never,
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    })
    const counters = [{ partition: 'tenant=t,key=alice', name: 'pro/day' }]
    const database = new DatabaseSync(file)
    for (const after of [undefined, { atMs: 7, id: 'e7' }]) {
      const query = eventRowsQuery({ tenant: 't', subject: 'alice', counters, fromMs: 5, after })
      const { sql, parameters } = query.compile(db)
      const plan = database.prepare(`explain query plan ${sql}`).all(...(parameters as string[]))
      const searches = plan.map((row) => String(row['detail'])).filter((detail) => detail.includes(' entries'))
      expect(searches).to.have.length(2)
      for (const search of searches)
        expect(search).to.include('USING INDEX entries_tenant_subject_at (tenant=? AND subject=? AND at_ms>?)')
    }
    database.close()
  })
})
