import { runs } from '@tallygate/testkit'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryLedger, PriceBook, reprice, USAGE_GROUPS, type Ledger } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { expect } from 'chai'
import fc from 'fast-check'
import { entry, NOW, startReportApp, type Document, type ReportApp } from './report-app.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-report-'))
let files = 0
after(() => rmSync(folder, { recursive: true, force: true }))

const LEDGERS: readonly [name: string, open: () => Promise<Ledger>][] = [
  ['MemoryLedger', async () => new MemoryLedger()],
  ['SqliteLedger', () => SqliteLedger.open({ file: join(folder, `${(files += 1)}.db`) })],
]
const on = (day: string): { atMs: number } => ({ atMs: Date.parse(`${day}T12:00:00Z`) })
const HISTORY = [
  entry({ ...on('2025-11-30'), plans: [{ name: 'trial', version: '1' }] }),
  entry({ ...on('2025-12-01'), usage: { basis: 'estimated', inputTokens: 1, outputTokens: 1 } }),
  entry({ ...on('2025-12-01'), subject: 'bob', model: 'claude', provider: 'anthropic' }),
  entry({
    ...on('2026-01-10'),
    plans: [
      { name: 'pro', version: '1' },
      { name: 'night', version: '1' },
    ],
  }),
  entry({ ...on('2026-01-10'), outcome: 'failed', status: 500, usage: undefined }),
  entry({ ...on('2026-01-11'), subject: 'bob', dimensions: { user: 'u', group: 'g' }, operation: 'embeddings' }),
  entry({ ...on('2026-01-11'), subject: 'carol', tenant: 'acme' }),
]

for (const [name, open] of LEDGERS) {
  describe(`usageReportRouter on ${name}`, () => {
    let app: ReportApp
    let tenant: string
    beforeEach(async () => {
      tenant = 'default'
      app = await startReportApp({ authorize: () => ({ all: true, tenant }) }, { ledger: await open() })
    })
    afterEach(() => app.close())

    const told = async (query: string, ...columns: string[]): Promise<unknown[][]> => {
      const { json, text } = await app.get(`/usage?${query}`)
      expect(json.rows, text).to.be.an('array')
      return json.rows.map((row) => columns.map((column) => row[column]))
    }

    it('tells calls a month for each key when nothing is asked for', async () => {
      await app.ledger.append(HISTORY)
      expect(await told('', 'month', 'key', 'calls', 'failed', 'estimated', 'totalTokens')).to.deep.equal([
        ['2025-11', 'alice', 1, 0, 0, 15],
        ['2025-12', 'alice', 1, 0, 1, 2],
        ['2025-12', 'bob', 1, 0, 0, 15],
        ['2026-01', 'alice', 2, 1, 0, 15],
        ['2026-01', 'bob', 1, 0, 0, 15],
      ])
    })

    const QUESTIONS: readonly [query: string, rows: [group: string | null, calls: number][]][] = [
      [
        'by=key',
        [
          ['alice', 4],
          ['bob', 2],
        ],
      ],
      [
        'by=model',
        [
          ['claude', 1],
          ['gpt-4o', 5],
        ],
      ],
      [
        'by=provider',
        [
          ['anthropic', 1],
          ['openai', 5],
        ],
      ],
      [
        'by=operation',
        [
          ['chat', 5],
          ['embeddings', 1],
        ],
      ],
      [
        'by=plan',
        [
          [null, 4],
          ['pro+night', 1],
          ['trial', 1],
        ],
      ],
      [
        'by=user',
        [
          [null, 5],
          ['u', 1],
        ],
      ],
      [
        'by=group',
        [
          [null, 5],
          ['g', 1],
        ],
      ],
      [
        'by=day&month=2026-01',
        [
          ['2026-01-10', 2],
          ['2026-01-11', 1],
        ],
      ],
      ['by=month&from=2025-12&to=2025-12', [['2025-12', 2]]],
      [
        'by=day&from=2025-11-30&to=2025-12-01',
        [
          ['2025-11-30', 1],
          ['2025-12-01', 2],
        ],
      ],
      ['by=key&from=2026-01-11T12:00:00Z', [['bob', 1]]],
      ['by=key&to=2025-12-01T12:00:00Z', [['alice', 1]]],
      ['by=key&key=bob', [['bob', 2]]],
      ['by=key&model=claude&provider=anthropic', [['bob', 1]]],
      ['by=key&plan=pro%2Bnight', [['alice', 1]]],
      ['by=key&user=u&group=g&operation=embeddings', [['bob', 1]]],
      ['by=key&key=nobody', []],
      ['by=month&month=2024-02', []],
      ['by=day&month=2026-02', []],
    ]
    for (const [query, rows] of QUESTIONS) {
      it(`answers ?${query}`, async () => {
        await app.ledger.append(HISTORY)
        const group = /by=(\w+)/.exec(query)![1]!
        expect(await told(query, group, 'calls')).to.deep.equal(rows)
      })
    }

    it('tells the total alone with an empty ?by=, also of an empty month', async () => {
      await app.ledger.append(HISTORY)
      expect(await told('by=', 'calls')).to.deep.equal([[6]])
      expect(await told('by=&month=2024-02', 'calls', 'totalTokens')).to.deep.equal([[0, 0]])
    })

    it('begins days and months when the clocks of ?zone= do', async () => {
      await app.ledger.append([entry({ atMs: Date.parse('2025-12-31T23:30:00Z') })])
      expect(await told('by=month', 'month')).to.deep.equal([['2025-12']])
      expect(await told('by=month&zone=Europe/Berlin', 'month')).to.deep.equal([['2026-01']])
      expect(await told('by=month&zone=Europe/Berlin&month=2026-01', 'calls')).to.deep.equal([[1]])
      expect(await told('by=day&zone=America/New_York&month=2026-01', 'calls')).to.deep.equal([])
    })

    it('tells twelve months, in whose last one a clock may be ahead of ours', async () => {
      await app.ledger.append([
        entry({ atMs: NOW + 5_000 }),
        entry({ atMs: Date.UTC(2025, 1) }),
        entry({ atMs: Date.UTC(2025, 1) - 1 }),
      ])
      expect(await told('by=month', 'month')).to.deep.equal([['2025-02'], ['2026-01']])
      const { json } = await app.get('/usage?to=2025-06')
      expect([json.from, json.to]).to.deep.equal(['2024-07-01T00:00:00.000Z', '2025-07-01T00:00:00.000Z'])
    })

    it('sums its groups to its total, over any pages', () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              id: fc.uuid(),
              atMs: fc.integer({ min: Date.UTC(2025, 6), max: NOW }),
              subject: fc.constantFrom('alice', 'bob', '=cmd'),
              model: fc.option(fc.constantFrom('a', 'b'), { nil: undefined }),
              usage: fc.option(
                fc.record({ basis: fc.constant('reported' as const), inputTokens: fc.nat(9), outputTokens: fc.nat(9) }),
                { nil: undefined },
              ),
            }),
            { maxLength: 30 },
          ),
          fc.uniqueArray(fc.constantFrom(...USAGE_GROUPS.filter((group) => group !== 'day')), { maxLength: 3 }),
          fc.integer({ min: 1, max: 7 }),
          async (changes, by, limit) => {
            tenant = `t${(files += 1)}`
            await app.ledger.append(changes.map((change) => entry({ ...change, tenant })))
            const rows: Record<string, unknown>[] = []
            let page: Document
            let next: string | null = `/usage?by=${by.join(',')}&limit=${limit}`
            do {
              page = (await app.get(next)).json
              rows.push(...page.rows)
              next = page.next
            } while (next !== null)
            for (const [figure, total] of Object.entries(page.total)) {
              expect(
                rows.reduce((sum, row) => sum + Number(row[figure]), 0),
                figure,
              ).to.equal(Number(total))
            }
            expect(page.total['calls']).to.equal(changes.length)
          },
        ),
        { numRuns: runs(15) },
      ))

    it('tells cost as exact decimals, by any group, as JSON and as CSV, and by the latest prices', async () => {
      const costs = (costNanos: number, more: object = {}): object => ({
        usage: { basis: 'reported', inputTokens: 1, outputTokens: 1, costNanos, pricedBy: 'v1 gpt-4o', ...more },
      })
      const calls = [
        entry({ ...on('2026-01-10'), ...costs(2_000_000_000_000_001, { credits: 3 }) }),
        entry({ ...on('2026-01-10'), ...costs(2_000_000_000_000_001, { seconds: 4, images: 5, searches: 6 }) }),
        entry({ ...on('2026-01-11'), subject: 'bob', ...costs(150_000, { reportedCostNanos: 160_000 }) }),
        entry({ ...on('2026-01-12') }),
      ]
      await app.ledger.append(calls)
      const columns = ['key', 'calls', 'priced', 'cost', 'credits', 'seconds', 'images', 'searches']
      expect(await told('by=key', ...columns)).to.deep.equal([
        ['alice', 3, 2, '4000000.000000002', 3, 4, 5, 6],
        ['bob', 1, 1, '0.00015', 0, 0, 0, 0],
      ])
      for (const group of ['model', 'provider', 'plan', 'month', 'day'])
        expect((await told(`by=${group}`, 'cost')).flat()).to.include(group === 'day' ? '0.00015' : '4000000.000150002')
      const { text } = await app.get('/usage?by=day&format=csv')
      expect(text).to.include(',2,4000000.000000002,3,4,5,6\r\n')
      const book = new PriceBook({ version: 'v2', prices: [{ model: '*', call: 7 }] })
      const filter = { tenant: 'default', fromMs: 0, toMs: NOW }
      await reprice({ ledger: app.ledger, book, filter, atMs: NOW })
      expect(await told('by=key', 'key', 'calls', 'priced', 'cost')).to.deep.equal([
        ['alice', 3, 3, '21.00'],
        ['bob', 1, 1, '7.00'],
      ])
      const listed = (await app.get('/usage/calls?key=bob')).json.rows
      expect(listed).to.have.length(1)
      expect(listed[0]).to.include({ cost: '7.00', reportedCost: '0.00016', pricedBy: 'v2 *' })
      expect(listed[0]).not.to.have.property('costNanos')
    })

    it('lists every call once over pages, newest first, while new ones come in', async () => {
      const calls = Array.from({ length: 25 }, (_, index) => entry({ atMs: NOW - 100_000 + Math.floor(index / 3) }))
      await app.ledger.append(calls)
      const seen: unknown[] = []
      let next: string | null = '/usage/calls?limit=4'
      let pages = 0
      while (next !== null) {
        const { json }: { json: Document } = await app.get(next)
        seen.push(...json.rows.map(({ id }) => id))
        next = json.next
        pages += 1
        await app.ledger.append([entry()])
      }
      expect(pages).to.equal(7)
      expect(new Set(seen)).to.have.property('size', 25)
      expect(seen).to.have.members(calls.map(({ id }) => id))
    })

    it('tells of a call what the provider said, and neither what it was charged nor its dimensions', async () => {
      await app.ledger.append([entry({ id: 'one', plans: [{ name: 'pro', version: '7' }], parentId: 'run' })])
      const [row] = (await app.get('/usage/calls')).json.rows
      expect(row).to.include({ id: 'one', parentId: 'run', plan: 'pro', at: '2026-01-15T12:00:00.000Z', status: 200 })
      expect(row).to.include({
        key: 'alice',
        user: null,
        model: 'gpt-4o',
        inputTokens: 10,
        outputTokens: 5,
        basis: 'reported',
      })
      expect(row).to.not.have.any.keys('charges', 'dimensions', 'kind')
    })

    it('goes on behind a call that is not there any more, and refuses a place that is none', async () => {
      await app.ledger.append([entry({ id: 'mine' }), entry({ id: 'theirs', tenant: 'acme' })])
      for (const before of ['mine', '', '~', '~mine', '1e3~mine', 'x'.repeat(5_000)]) {
        const { status, json } = await app.get(`/usage/calls?before=${before}`)
        expect([before, status, json.detail?.slice(0, 9)]).to.deep.equal([before, 400, 'before is'])
      }
      const idsAfter = async (before: string): Promise<string[]> =>
        (await app.get(`/usage/calls?before=${before}`)).json.rows.map(({ id }) => String(id))
      expect(await idsAfter(`${NOW}~mine`)).to.deep.equal([])
      expect(await idsAfter(`${NOW}~nothing`)).to.deep.equal(['mine'])
      expect(await idsAfter(`${NOW + 1}~gone`)).to.deep.equal(['mine'])
    })
  })
}
