import type { Ledger, UsageGroup } from '@tallygate/core'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'
import {
  adjustment,
  ALWAYS,
  charged,
  HOUR,
  NOON,
  repricing,
  tokens,
  usage,
  windowStart,
} from './conformance-entries.ts'
import { describeCounterEvents } from './history-conformance.ts'
import { describeGroups } from './report-conformance.ts'

/** How a test opens the ledger under test: empty. */
export type OpenLedger = () => Promise<Ledger>

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

    it('adds an id once, however often it is appended', async () => {
      await ledger.append([usage('a', { usage: tokens(1, 2) }), usage('b')])
      await ledger.append([usage('a', { usage: tokens(100, 200) }), usage('c')])
      const { total } = await ledger.sum({ filter: ALWAYS, by: [] })
      expect(total).to.include({ calls: 3, inputTokens: 1, outputTokens: 2, totalTokens: 3 })
    })

    it('replaces a call that expired by the same call that has ended after all, and nothing else', async () => {
      const guess = usage('a', { outcome: 'expired', charges: [charged('x', { actual: 3 })] })
      const end = usage('a', {
        atMs: NOON + HOUR,
        subject: 'k',
        model: 'm',
        usage: tokens(4, 5),
        charges: [charged('x', { actual: 9 })],
      })
      await ledger.append([guess, adjustment('b')])
      expect(await ledger.find('t', ['a'])).to.deep.equal([guess])
      await ledger.append([end, usage('b')])
      // A repeat of either, and another end: the first end stays.
      await ledger.append([guess, { ...end, atMs: NOON }, adjustment('a')])
      expect(await ledger.entries(ALWAYS)).to.deep.equal([end])
      expect(await ledger.find('t', ['b'])).to.deep.equal([adjustment('b')])
      const counters = [{ partition: 'p', name: 'x' }]
      const { events } = await ledger.counterEvents({ tenant: 't', counters, fromMs: 0 })
      expect(events.map((event) => event.kind === 'usage' && event.actual)).to.deep.equal([9])
    })

    it('leaves a call that expired as it was written first, until it has ended', async () => {
      const [first, second] = [3, 4].map((actual) =>
        usage('a', { outcome: 'expired', charges: [charged('x', { actual })] }),
      )
      await ledger.append([first!])
      await ledger.append([second!])
      expect(await ledger.find('t', ['a'])).to.deep.equal([first])
    })

    it('replaces a call that expired also where both come at once', async () => {
      const [guess, end] = [usage('a', { outcome: 'expired' }), usage('a', { usage: tokens(4, 5) })]
      await ledger.append([guess, end, guess])
      expect(await ledger.entries(ALWAYS)).to.deep.equal([end])
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
          priced: 0,
          costNanos: 0,
          credits: 0,
          seconds: 0,
          images: 0,
          searches: 0,
        },
      ])
    })

    it('sums cost, credits, seconds, images and searches, and counts the calls whose cost is known', async () => {
      const priced = { ...tokens(1, 1), costNanos: 4_000_000_000_000_001, credits: 2, pricedBy: 'v1 m' }
      const more = { ...tokens(1, 1), costNanos: 0, seconds: 7, images: 2, searches: 3 }
      await ledger.append([
        usage('a', { usage: priced }),
        usage('b', { usage: more }),
        usage('c', { usage: tokens(1, 1) }),
      ])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total).to.include({
        calls: 3,
        priced: 2,
        costNanos: 4_000_000_000_000_001,
        credits: 2,
        seconds: 7,
        images: 2,
        searches: 3,
      })
      expect((await ledger.entries(ALWAYS)).map((entry) => entry.usage)).to.deep.equal([tokens(1, 1), more, priced])
    })

    it('sums a call as its latest repricing says, in the group of the call, and still lists it once, as it was', async () => {
      const call = usage('a', { model: 'm', usage: { ...tokens(1, 1), costNanos: 500, credits: 9 } })
      const first = repricing('a~1', { model: 'm', costNanos: 300, credits: 9, before: { costNanos: 500, credits: 9 } })
      const second = repricing('a~2', { model: 'm', costNanos: 700, before: { costNanos: 300, credits: 9 } })
      const unknown = usage('b', { model: 'n', usage: tokens(1, 1) })
      const found = repricing('b~1', { model: 'n', costNanos: 11 })
      await ledger.append([call, first, unknown, found])
      await ledger.append([second, first])
      const { rows, total } = await ledger.sum({ filter: ALWAYS, by: ['model', 'day'] })
      const figures = ({ calls, priced, costNanos, credits }: typeof total): number[] => [
        calls,
        priced,
        costNanos,
        credits,
      ]
      expect(rows.map(figures)).to.deep.equal([
        [1, 1, 700, 0],
        [1, 1, 11, 0],
      ])
      expect(figures(total)).to.deep.equal([2, 2, 711, 0])
      expect(await ledger.entries(ALWAYS)).to.deep.equal([unknown, call])
      expect(await ledger.find('t', ['a~2'])).to.deep.equal([second])
      const ofOther = await ledger.sum({ filter: { ...ALWAYS, model: 'n', key: 'k' }, by: [] })
      expect(figures(ofOther.total)).to.deep.equal([1, 1, 11, 0])
    })

    it('takes a price that becomes unknown back', async () => {
      await ledger.append([
        usage('a', { usage: { ...tokens(1, 1), costNanos: 500 } }),
        repricing('a~1', { before: { costNanos: 500 } }),
      ])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total).to.include({ calls: 1, priced: 0, costNanos: 0 })
    })

    it('has no repricing among what changed counters', async () => {
      await ledger.append([repricing('a~1', { costNanos: 5, subject: 'p a' })])
      const counters = [{ partition: 'p', name: 'a' }]
      expect(await ledger.counterEvents({ tenant: 't', counters, fromMs: 0 })).to.deep.equal({ events: [] })
    })

    it('counts usage only: adjustments and window starts are no calls', async () => {
      await ledger.append([adjustment('x', { adjustment: 'reset' }), windowStart('y', { endMs: null })])
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(0)
      expect(await ledger.entries(ALWAYS)).to.deep.equal([])
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

    describeGroups(() => ledger)
    describeCounterEvents(() => ledger)
  })
}
