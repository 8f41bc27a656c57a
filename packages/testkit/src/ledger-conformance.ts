import type { Ledger, UsageEntry, UsageFilter, UsageGroup, UsageRow } from '@tallygate/core'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

/** How a test opens the ledger under test: empty. */
export type OpenLedger = () => Promise<Ledger>

const NOON = Date.UTC(2026, 0, 31, 12)
const HOUR = 3_600_000
const ALWAYS: UsageFilter = { tenant: 't', fromMs: Date.UTC(2025, 0), toMs: Date.UTC(2027, 0) }

/**
 * The contract of `Ledger`, as tests for mocha. Call it in the test file of an implementation.
 *
 * @param open Called before each test; returns a ledger that no earlier test has written to.
 */
export function describeLedger(name: string, open: OpenLedger): void {
  describe(`${name} as a Ledger`, () => {
    let ledger: Ledger
    beforeEach(async () => {
      ledger = await open()
    })
    afterEach(() => ledger.close())

    const groups = async (
      by: UsageGroup[],
      zone = 'UTC',
      filter: UsageFilter = ALWAYS,
    ): Promise<[unknown[], number][]> => {
      const { rows } = await ledger.sum({ filter, by, zone })
      return rows.map((row) => [by.map((group) => row.group[group]), row.calls])
    }

    it('adds an id once, however often it is appended', async () => {
      await ledger.append([usage('a', { usage: tokens(1, 2) }), usage('b')])
      await ledger.append([usage('a', { usage: tokens(100, 200) }), usage('c')])
      const { total } = await ledger.sum({ filter: ALWAYS, by: [] })
      expect(total).to.include({ calls: 3, inputTokens: 1, outputTokens: 2, totalTokens: 3 })
    })

    it('keeps tenants apart, also where ids are the same', async () => {
      await ledger.append([usage('a'), usage('a', { tenant: 'other' })])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(1)
      expect((await ledger.sum({ filter: { ...ALWAYS, tenant: 'nobody' }, by: [] })).total.calls).to.equal(0)
    })

    it('gives back entries as they were, newest first, page by page', async () => {
      const written = [1, 2, 3].map((hour) =>
        usage(`e${hour}`, { atMs: NOON + hour * HOUR, usage: tokens(hour, 0), parentId: 'run' }),
      )
      await ledger.append(written)
      const first = await ledger.entries(ALWAYS, { limit: 2 })
      expect(first).to.deep.equal([written[2], written[1]])
      expect(await ledger.entries(ALWAYS, { before: first[1]! })).to.deep.equal([written[0]])
    })

    it('orders entries by when they happened, not by when they came, and goes on behind one that is not there', async () => {
      const [late, early, same] = [usage('b', { atMs: NOON + HOUR }), usage('c'), usage('a')]
      await ledger.append([late, early, same])
      expect((await ledger.entries(ALWAYS)).map(({ id }) => id)).to.deep.equal(['b', 'c', 'a'])
      const before = { atMs: early.atMs, id: 'bb' }
      expect((await ledger.entries(ALWAYS, { before })).map(({ id }) => id)).to.deep.equal(['a'])
    })

    it('sums totals that nobody has split', async () => {
      await ledger.append([
        usage('a', { usage: { basis: 'reported', totalTokens: 40 } }),
        usage('b', { usage: tokens(1, 2) }),
      ])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total).to.include({ inputTokens: 1, totalTokens: 43 })
      expect((await ledger.entries(ALWAYS)).map(({ usage: each }) => each!.totalTokens)).to.include(40)
    })

    it('sums what was known, and counts what was not', async () => {
      await ledger.append([
        usage('reported', { usage: { ...tokens(10, 5), cacheReadTokens: 4, cacheWriteTokens: 2, reasoningTokens: 3 } }),
        usage('estimated', { usage: { ...tokens(1, 1), basis: 'estimated' } }),
        usage('partial', { usage: { ...tokens(1, 1), basis: 'reported-partial' }, outcome: 'aborted' }),
        usage('unknown', { overage: true }),
        usage('failed', { outcome: 'failed', status: 500 }),
      ])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).rows).to.deep.equal([
        {
          group: {},
          calls: 5,
          estimated: 2,
          unknown: 1,
          failed: 1,
          aborted: 1,
          overage: 1,
          inputTokens: 12,
          outputTokens: 7,
          totalTokens: 19,
          cacheReadTokens: 4,
          cacheWriteTokens: 2,
          reasoningTokens: 3,
        },
      ])
    })

    it('counts usage only: adjustments and window starts are no calls', async () => {
      const base = { tenant: 't', atMs: NOON, owner: 'o', partition: 'p', counter: 'c' }
      await ledger.append([
        { ...base, id: 'x', kind: 'adjustment', adjustment: 'reset', unit: 'requests', amount: 5 },
        { ...base, id: 'y', kind: 'window-start', endMs: null, quota: 5 },
      ])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(0)
      expect(await ledger.entries(ALWAYS)).to.deep.equal([])
    })

    describe('groups', () => {
      beforeEach(async () => {
        await ledger.append([
          usage('1', {
            subject: 'k1',
            model: 'm1',
            provider: 'openai',
            operation: 'chat',
            dimensions: { tenant: 't', user: 'u1', group: 'g1' },
            plans: [{ name: 'pro', version: '1' }],
          }),
          usage('2', {
            subject: 'k1',
            model: 'm2',
            provider: 'openai',
            operation: 'chat',
            plans: [
              { name: 'a', version: '1' },
              { name: 'b', version: '1' },
            ],
          }),
          usage('3', { subject: 'k2', model: 'm1', provider: 'anthropic', operation: 'chat' }),
          usage('4', { subject: 'k2', atMs: NOON + 24 * HOUR }),
        ])
      })

      const cases: { by: UsageGroup[]; rows: [unknown[], number][] }[] = [
        {
          by: ['key'],
          rows: [
            [['k1'], 2],
            [['k2'], 2],
          ],
        },
        {
          by: ['model'],
          rows: [
            [[null], 1],
            [['m1'], 2],
            [['m2'], 1],
          ],
        },
        {
          by: ['provider'],
          rows: [
            [[null], 1],
            [['anthropic'], 1],
            [['openai'], 2],
          ],
        },
        {
          by: ['operation'],
          rows: [
            [[null], 1],
            [['chat'], 3],
          ],
        },
        {
          by: ['plan'],
          rows: [
            [[null], 2],
            [['a+b'], 1],
            [['pro'], 1],
          ],
        },
        {
          by: ['user'],
          rows: [
            [[null], 3],
            [['u1'], 1],
          ],
        },
        {
          by: ['group'],
          rows: [
            [[null], 3],
            [['g1'], 1],
          ],
        },
        {
          by: ['day'],
          rows: [
            [['2026-01-31'], 3],
            [['2026-02-01'], 1],
          ],
        },
        {
          by: ['month'],
          rows: [
            [['2026-01'], 3],
            [['2026-02'], 1],
          ],
        },
        {
          by: ['month', 'key'],
          rows: [
            [['2026-01', 'k1'], 2],
            [['2026-01', 'k2'], 1],
            [['2026-02', 'k2'], 1],
          ],
        },
      ]
      for (const { by, rows } of cases) {
        it(`by ${by.join(' and ')}`, async () => {
          expect(await groups(by)).to.deep.equal(rows)
        })
      }

      for (const filter of [
        { key: 'k1' },
        { model: 'm1' },
        { provider: 'openai' },
        { plan: 'a+b' },
        { user: 'u1' },
        { group: 'g1' },
        { operation: 'chat' },
      ]) {
        it(`filtered by ${Object.keys(filter)[0]}: as many as in its group`, async () => {
          const [[group, value]] = Object.entries(filter) as [[UsageGroup, string]]
          const ofGroup = (await groups([group])).find(([[name]]) => name === value)![1]
          expect((await ledger.sum({ filter: { ...ALWAYS, ...filter }, by: [] })).total.calls).to.equal(ofGroup)
          expect(await ledger.entries({ ...ALWAYS, ...filter })).to.have.length(ofGroup)
        })
      }

      it('by pages that add up to the total, in order', async () => {
        const whole = await ledger.sum({ filter: ALWAYS, by: ['key', 'model'] })
        const rows: UsageRow[] = []
        for (let offset: number | undefined = 0; offset !== undefined;) {
          const page = await ledger.sum({ filter: ALWAYS, by: ['key', 'model'], limit: 1, offset })
          expect(page.total).to.deep.equal(whole.total)
          rows.push(...page.rows)
          offset = page.nextOffset
        }
        expect(rows).to.deep.equal(whole.rows)
        expect(rows.reduce((sum, { calls }) => sum + calls, 0)).to.equal(whole.total.calls)
      })
    })

    it('puts a call on the day that a calendar in the zone shows', async () => {
      await ledger.append([
        usage('a', { atMs: Date.UTC(2026, 2, 28, 22, 59) }),
        usage('b', { atMs: Date.UTC(2026, 2, 28, 23) }),
      ])
      expect(await groups(['day'], 'Europe/Berlin')).to.deep.equal([
        [['2026-03-28'], 1],
        [['2026-03-29'], 1],
      ])
      expect(await groups(['day'], 'Asia/Tokyo')).to.deep.equal([[['2026-03-29'], 2]])
      expect(await groups(['month'], 'Pacific/Kiritimati')).to.deep.equal([[['2026-03'], 2]])
    })

    it('takes the first instant of a range, and not the instant after it', async () => {
      await ledger.append([usage('a', { atMs: NOON }), usage('b', { atMs: NOON + 1 })])
      const { total } = await ledger.sum({ filter: { ...ALWAYS, fromMs: NOON, toMs: NOON + 1 }, by: [] })
      expect(total.calls).to.equal(1)
    })

    it('answers a range without calls with zeros and no rows', async () => {
      const { rows, total, nextOffset } = await ledger.sum({ filter: ALWAYS, by: ['key', 'month'] })
      expect({ rows, calls: total.calls, nextOffset }).to.deep.equal({ rows: [], calls: 0, nextOffset: undefined })
    })

    const wrong = [
      { what: 'an unknown group', query: { by: ['shoe-size' as UsageGroup] } },
      { what: 'a group twice', query: { by: ['key', 'key'] as UsageGroup[] } },
      { what: 'day and month', query: { by: ['day', 'month'] as UsageGroup[] } },
      { what: 'an unknown zone', query: { zone: 'Mars/Olympus' } },
      { what: 'an empty range', query: { filter: { ...ALWAYS, fromMs: 5, toMs: 5 } } },
      { what: 'too many days', query: { by: ['day'] as UsageGroup[], filter: { ...ALWAYS, fromMs: 0 } } },
      { what: 'a negative offset', query: { offset: -1 } },
      { what: 'a page of no rows', query: { limit: 0 } },
    ]
    for (const { what, query } of wrong) {
      it(`refuses ${what}`, async () => {
        const failure = await ledger.sum({ filter: ALWAYS, by: [], ...query }).catch((error: unknown) => error)
        expect(failure).to.have.property('code', 'ERR_QUOTA_QUERY')
      })
    }

    it('takes names as they are, whatever SQL or JavaScript would make of them', async () => {
      const names = ["'; drop table entries; --", '__proto__', 'constructor', '% _ \\', '\u{1f600}']
      await ledger.append(names.map((subject, index) => usage(`n${index}`, { subject, model: subject })))
      for (const key of names)
        expect((await ledger.sum({ filter: { ...ALWAYS, key }, by: ['model'] })).rows).to.have.length(1)
    })
  })
}

function tokens(inputTokens: number, outputTokens: number): NonNullable<UsageEntry['usage']> {
  return { basis: 'reported', inputTokens, outputTokens }
}

function usage(id: string, overrides: Partial<UsageEntry> = {}): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 't',
    atMs: NOON,
    callId: id,
    subject: 'k',
    dimensions: { tenant: 't' },
    plans: [],
    status: 200,
    outcome: 'complete',
    streamed: false,
    admittedAtMs: NOON,
    durationMs: 1,
    charges: [],
    overage: false,
    ...overrides,
  }
}
