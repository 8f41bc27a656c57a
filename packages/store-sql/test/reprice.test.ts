import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryLedger, PriceBook, reprice, type Ledger, type RepriceSummary, type UsageEntry } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { expect } from 'chai'
import { testEntry } from '@tallygate/testkit'

const FILTER = { tenant: 't', fromMs: 0, toMs: Date.UTC(2100, 0) }
const AT = Date.UTC(2026, 1, 2)
const JANUARY = Date.UTC(2026, 0, 1)

function bookAt(input: number, version = `at-${input}`): PriceBook {
  return new PriceBook({ version, prices: [{ model: 'm', input, output: 0 }] })
}

function call(id: string, overrides: Partial<UsageEntry> = {}): UsageEntry {
  return testEntry(id, {
    model: 'm',
    admittedAtMs: JANUARY,
    usage: { basis: 'reported', inputTokens: 1_000, outputTokens: 0, costNanos: 1_000_000, pricedBy: 'at-1 m' },
    ...overrides,
  })
}

const folder = mkdtempSync(join(tmpdir(), 'tallygate-reprice-'))
let files = 0
after(() => rmSync(folder, { recursive: true, force: true }))

const LEDGERS: readonly [name: string, open: () => Promise<Ledger>][] = [
  ['MemoryLedger', async () => new MemoryLedger()],
  ['SqliteLedger', () => SqliteLedger.open({ file: join(folder, `${(files += 1)}.db`) })],
]

for (const [name, open] of LEDGERS) {
  describe(`reprice on ${name}`, () => {
    let ledger: Ledger
    beforeEach(async () => {
      ledger = await open()
    })
    afterEach(() => ledger.close())

    const run = (book: PriceBook, more: object = {}): Promise<RepriceSummary> =>
      reprice({ ledger, book, filter: FILTER, atMs: AT, ...more })
    const cost = async (): Promise<number> => (await ledger.sum({ filter: FILTER, by: [] })).total.costNanos

    it('appends what has changed, leaves history as it was, and adds nothing the second time', async () => {
      const calls = [call('a'), call('b', { model: 'other' }), testEntry('c', { model: 'm' })]
      await ledger.append(calls)
      expect(await run(bookAt(3))).to.deep.equal({
        calls: 3,
        changed: 1,
        unpriced: 1,
        beforeNanos: 2_000_000n,
        afterNanos: 4_000_000n,
      })
      expect(await cost()).to.equal(4_000_000)
      expect(await ledger.find('t', ['a~1'])).to.deep.equal([
        {
          kind: 'repricing',
          id: 'a~1',
          tenant: 't',
          atMs: calls[0]!.atMs,
          repricingOf: 'a',
          repricedAtMs: AT,
          subject: calls[0]!.subject,
          model: 'm',
          costNanos: 3_000_000,
          pricedBy: 'at-3 m',
          before: { costNanos: 1_000_000 },
        },
      ])
      expect(await run(bookAt(3))).to.include({ calls: 3, changed: 0, beforeNanos: 4_000_000n, afterNanos: 4_000_000n })
      expect(await ledger.find('t', ['a~2'])).to.deep.equal([])
      expect(await ledger.find('t', ['a', 'b', 'c'])).to.have.deep.members(calls)
    })

    it('counts the latest, also back to an earlier price', async () => {
      await ledger.append([call('a')])
      for (const input of [3, 2, 3, 1]) {
        expect((await run(bookAt(input))).changed).to.equal(1)
        expect(await cost()).to.equal(input * 1_000_000)
      }
      expect(await ledger.find('t', ['a~4'])).to.have.length(1)
    })

    it('says what it would do, and does nothing, on a dry run', async () => {
      await ledger.append([call('a')])
      expect(await run(bookAt(3), { mode: 'dry-run' })).to.include({ changed: 1, afterNanos: 3_000_000n })
      expect(await cost()).to.equal(1_000_000)
    })

    it('comes to the same where two do it at the same time, also with different books', async () => {
      await ledger.append(Array.from({ length: 30 }, (_, index) => call(`c${index}`)))
      await Promise.all([
        run(bookAt(3), { pageSize: 7 }),
        run(bookAt(5), { pageSize: 4 }),
        run(bookAt(3), { pageSize: 9 }),
      ])
      await run(bookAt(2))
      expect(await cost()).to.equal(60_000_000)
    })

    it('prices what had no price, and takes a price back only where it is told', async () => {
      const { costNanos: _cost, pricedBy: _by, ...bare } = call('a').usage!
      await ledger.append([call('a', { usage: { ...bare, flags: ['unpriced'] } }), call('b', { model: 'gone' })])
      const total = async (): Promise<object> => {
        const { calls, priced, costNanos } = (await ledger.sum({ filter: FILTER, by: [] })).total
        return { calls, priced, costNanos }
      }
      await run(bookAt(3))
      expect(await total()).to.deep.equal({ calls: 2, priced: 2, costNanos: 4_000_000 })
      await run(bookAt(3), { unpriced: 'flag' })
      expect(await total()).to.deep.equal({ calls: 2, priced: 1, costNanos: 3_000_000 })
      await run(bookAt(3), { unpriced: 'family-max' })
      expect(await total()).to.deep.equal({ calls: 2, priced: 2, costNanos: 6_000_000 })
    })

    it('goes by the prices of the day on which a call was admitted', async () => {
      await ledger.append([call('a'), call('b', { admittedAtMs: Date.UTC(2026, 6) })])
      const prices = [
        { model: 'm', input: 1 },
        { model: 'm', input: 10, from: '2026-06-01' },
      ]
      expect(await run(new PriceBook({ prices }))).to.include({ changed: 1, afterNanos: 11_000_000n })
    })

    it('leaves what a handler has said by itself', async () => {
      await ledger.append([call('a', { usage: { basis: 'reported', inputTokens: 1, costNanos: 7 } })])
      expect((await run(bookAt(3))).changed).to.equal(0)
    })

    it('goes through many calls page by page, and reports agree with it', async () => {
      const calls = Array.from({ length: 2_500 }, (_, index) => call(`c${index}`, { atMs: Math.floor(index / 3) }))
      await ledger.append(calls)
      expect(await run(bookAt(3), { pageSize: 100 })).to.include({
        calls: 2_500,
        changed: 2_500,
        afterNanos: 7_500_000_000n,
      })
      expect(await cost()).to.equal(7_500_000_000)
    })
  })
}
