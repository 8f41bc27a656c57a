import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryLedger, USAGE_GROUPS, type UsageEntry, type UsageGroup } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { describeLedger, runs, testEntry } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-sqlite-'))
let files = 0
const newFile = (): string => join(folder, `ledger-${(files += 1)}.db`)
after(() => rmSync(folder, { recursive: true, force: true }))

describeLedger('SqliteLedger', () => SqliteLedger.open({ file: newFile() }))
describeLedger('SqliteLedger with durability against power loss', () =>
  SqliteLedger.open({ file: newFile(), durability: 'power' }),
)

describe('SqliteLedger', () => {
  it('finds its entries again when it is opened anew', async () => {
    const file = newFile()
    for (const id of ['a', 'b']) {
      const ledger = await SqliteLedger.open({ file })
      await ledger.append([entry({ id })])
      await ledger.close()
    }
    const ledger = await SqliteLedger.open({ file })
    expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(2)
    await ledger.close()
  })

  it('has every entry of an append that resolved, after its process was killed', async () => {
    const file = newFile()
    const killed = spawnSync(process.execPath, [new URL('append-and-die.ts', import.meta.url).pathname, file])
    expect(killed.signal, killed.stderr.toString()).to.equal('SIGKILL')
    const ledger = await SqliteLedger.open({ file })
    expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(101)
    await ledger.close()
  })

  it('says which file it can not open', async () => {
    const failure = await SqliteLedger.open({ file: join(folder, 'ledger-1.db', 'below-a-file.db') }).catch(
      (error: unknown) => error,
    )
    expect(failure).to.have.property('code', 'ERR_QUOTA_LEDGER_UNAVAILABLE')
    expect(failure).to.have.property('message').that.includes('below-a-file.db')
  })

  it('says what to do about a file that it can not open', async () => {
    const newer = newFile()
    await (await SqliteLedger.open({ file: newer })).close()
    const database = new DatabaseSync(newer)
    database.exec("insert into kysely_migration values ('9999_later', '2030-01-01')")
    database.close()
    const text = newFile()
    writeFileSync(text, 'no database at all, and long enough to be looked at: '.repeat(20))
    for (const [file, says] of [
      [folder, /: unable to open database file: name a file, in a folder, that this process may write to$/],
      [join(text, 'below', 'a-file.db'), /(EEXIST|ENOTDIR).*: name a file, in a folder, that this process may write/],
      [text, /: file is not a database: name another file, or put a copy of it back$/],
      [newer, /9999_later.*: a newer version has made it; use that one, or name another file$/],
    ] as const) {
      const failure = await SqliteLedger.open({ file }).catch((error: unknown) => error)
      expect(failure).to.have.property('message').that.matches(says)
      expect(failure).to.have.property('cause')
    }
  })

  it('fails where a folder takes none, and does not try without end', () => {
    const text = `import { SqliteLedger } from '@tallygate/store-sql'
      await SqliteLedger.open({ file: '/proc/nothing/usage.db' }).catch(({ code }) => console.log(code))`
    const options = { cwd: import.meta.dirname, timeout: 10_000 }
    const tried = spawnSync(process.execPath, ['--input-type=module', '--eval', text], options)
    expect([tried.signal, tried.stdout.toString()]).to.deep.equal([null, 'ERR_QUOTA_LEDGER_UNAVAILABLE\n'])
  })

  it('makes the folders of its file', async () => {
    const file = join(folder, 'one', 'two', 'usage.db')
    await (await SqliteLedger.open({ file })).close()
    expect(existsSync(file)).to.equal(true)
  })

  for (const [member, wrong] of Object.entries({
    atMs: { atMs: undefined },
    tenant: { tenant: 5 },
    subject: { subject: {} },
    'dimensions.user': { dimensions: { user: { a: 1 } } },
    'dimensions.group': { dimensions: { group: ['a', 'b'] } },
    provider: { provider: true },
    model: { model: 5 },
    admittedAtMs: { admittedAtMs: undefined },
    durationMs: { durationMs: NaN },
    status: { status: '200' },
    'usage.inputTokens': { usage: { basis: 'reported', inputTokens: Infinity } },
    'usage.totalTokens': { usage: { basis: 'reported', inputTokens: 1, totalTokens: NaN } },
    'charges.actual': {
      charges: [{ owner: 'o', partition: 'p', counter: 'c', unit: 'requests', reserved: 1, actual: NaN }],
    },
  })) {
    it(`refuses an entry whose ${member} no row can hold, with all of its batch, and goes on`, async () => {
      const file = newFile()
      const ledger = await SqliteLedger.open({ file })
      const broken = entry({ id: 'b', ...(wrong as Partial<UsageEntry>) })
      const failure = await ledger.append([entry({ id: 'a' }), broken]).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
      expect(failure).to.have.property('message').that.includes(`entry.${member} is `)
      await ledger.append([entry({ id: 'c' })])
      const found = await ledger.entries(ALWAYS)
      expect(found.map(({ id }) => id)).to.deep.equal(['c'])
      await ledger.close()
      const again = await SqliteLedger.open({ file, onDamage: () => expect.fail('it got into the journal') })
      expect(await again.entries(ALWAYS)).to.have.length(1)
      await again.close()
    })
  }

  it('refuses an entry that has no charges, or dimensions that refer to themselves, with its id', async () => {
    const ledger = await SqliteLedger.open({ file: newFile() })
    const circular: Record<string, unknown> = { user: 'u' }
    circular['self'] = circular
    for (const wrong of [{ charges: undefined }, { dimensions: circular }]) {
      const broken = entry({ id: 'broken', ...(wrong as unknown as Partial<UsageEntry>) })
      const failure = await ledger.append([entry({ id: 'a' }), broken]).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
      expect(failure).to.have.property('message').that.includes('entry broken')
    }
    expect(await ledger.entries(ALWAYS)).to.have.length(0)
    await ledger.close()
  })

  it('refuses a bound that none can wait under', async () => {
    const failure = await SqliteLedger.open({ file: newFile(), mostWaiting: 0 }).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
    expect(failure).to.have.property('message').that.includes('SqliteLedger.mostWaiting is 0')
  })

  it('answers every question as MemoryLedger does', async () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const tokens = fc.option(fc.nat(100), { nil: undefined })
    const usage = fc.option(
      fc.record({
        basis: fc.constantFrom('reported', 'estimated', 'reported-partial'),
        inputTokens: tokens,
        outputTokens: tokens,
        reasoningTokens: tokens,
      }),
      { nil: undefined },
    )
    const written = fc.record({
      id: fc.uuid(),
      atMs: fc.integer({ min: Date.UTC(2026, 9, 20), max: Date.UTC(2026, 11, 5) }),
      subject: name,
      model: fc.option(name, { nil: undefined }),
      provider: fc.option(name, { nil: undefined }),
      outcome: fc.constantFrom('complete', 'aborted', 'failed'),
      overage: fc.boolean(),
      withoutStore: fc.constantFrom(undefined, 'admit', 'local'),
      usage,
    }) as fc.Arbitrary<Partial<UsageEntry>>
    const by = fc.subarray(USAGE_GROUPS.filter((group) => group !== 'month') as UsageGroup[])
    const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe')
    await fc.assert(
      fc.asyncProperty(
        fc.array(written, { maxLength: 30 }),
        by,
        zone,
        fc.nat(5),
        fc.integer({ min: 1, max: 10 }),
        async (entries, groups, zone, offset, limit) => {
          const sqlite = await SqliteLedger.open({ file: newFile() })
          const memory = new MemoryLedger()
          const filter = { tenant: 't', fromMs: Date.UTC(2026, 9, 21, 7), toMs: Date.UTC(2026, 11, 3, 5) }
          for (const ledger of [sqlite, memory]) await ledger.append(entries.map(entry))
          const query = { filter, by: groups, zone, offset, limit }
          const [one, other] = [await sqlite.sum(query), await memory.sum(query)]
          await sqlite.close()
          expect(JSON.parse(JSON.stringify(one))).to.deep.equal(JSON.parse(JSON.stringify(other)))
        },
      ),
      { numRuns: runs(40) },
    )
  })
})

const ALWAYS = { tenant: 't', fromMs: 0, toMs: Date.UTC(2100, 0) }

function entry(overrides: Partial<UsageEntry>): UsageEntry {
  return { ...testEntry('a'), atMs: Date.UTC(2026, 0, 15), dimensions: { tenant: 't' }, ...overrides }
}
