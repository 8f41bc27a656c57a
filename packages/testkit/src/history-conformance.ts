import type { CounterEvent, CounterEventQuery, Entry, Ledger } from '@tallygate/core'
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'
import { adjustment, charged, HOUR, NOON, usage, windowStart } from './conformance-entries.ts'

const A = { partition: 'p', name: 'a' }
const B = { partition: 'p', name: 'b' }

/** What rebuilds counters. @param open The ledger of the test. */
export function describeCounterEvents(open: () => Ledger): void {
  const ask = (query: Partial<CounterEventQuery> = {}): ReturnType<Ledger['counterEvents']> =>
    open().counterEvents({ tenant: 't', counters: [A], fromMs: 0, ...query })
  const ids = async (query: Partial<CounterEventQuery> = {}): Promise<string[]> =>
    (await ask(query)).events.map(({ id }) => id)

  describe('counterEvents', () => {
    it('tells what calls, adjustments and starts of windows did to a counter', async () => {
      await open().append([
        usage('call', { admittedAtMs: NOON - 5, charges: [charged('a')] }),
        adjustment('more', { atMs: NOON + 1 }),
        adjustment('back', { atMs: NOON + 2, adjustment: 'refund', amount: 1, refundOf: 'call' }),
        adjustment('none', { atMs: NOON + 3, adjustment: 'reset', amount: 0 }),
        windowStart('start', { atMs: NOON + 4 }),
        windowStart('endless', { atMs: NOON + 5, endMs: null, quota: null }),
      ])
      const of = { counter: 0, kind: 'adjustment' }
      expect(await ask()).to.deep.equal({
        events: [
          { id: 'call', atMs: NOON, counter: 0, kind: 'usage', admittedAtMs: NOON - 5, reserved: 3, actual: 2 },
          { id: 'more', atMs: NOON + 1, ...of, adjustment: 'top-up', amount: 7 },
          { id: 'back', atMs: NOON + 2, ...of, adjustment: 'refund', amount: 1 },
          { id: 'none', atMs: NOON + 3, ...of, adjustment: 'reset', amount: 0 },
          { id: 'start', atMs: NOON + 4, counter: 0, kind: 'window-start', endMs: NOON + HOUR, quota: 5 },
          { id: 'endless', atMs: NOON + 5, counter: 0, kind: 'window-start', endMs: null, quota: null },
        ],
      })
    })

    it('knows a counter by its partition and its name, and says which of those asked for it was', async () => {
      await open().append([
        usage('both', { charges: [charged('a', { actual: 1 }), charged('b', { actual: 4 })] }),
        usage('elsewhere', { atMs: NOON + 1, charges: [charged('a', { partition: 'q' }), charged('c')] }),
      ])
      const { events } = await ask({ counters: [B, { partition: 'q', name: 'a' }, A] })
      const told = events.map((event) => [event.id, event.counter, event.kind === 'usage' && event.actual])
      expect(told).to.have.deep.members([
        ['both', 0, 4],
        ['both', 2, 1],
        ['elsewhere', 1, 2],
      ])
    })

    it('says nothing of entries that changed no counter', async () => {
      await open().append([usage('free'), usage('other', { charges: [charged('b')] })])
      expect(await ask()).to.deep.equal({ events: [] })
    })

    it('is in the order in which it happened, and that of ids, whatever came first', async () => {
      const charges = [charged('a')]
      const late = usage('early-id', { atMs: NOON + HOUR, charges })
      const same = ['m', 'B', 'a', 'z'].map((id) => usage(id, { charges }))
      await open().append([late, ...same, adjustment('k')])
      expect(await ids()).to.deep.equal(['B', 'a', 'k', 'm', 'z', 'early-id'])
    })

    it('begins with an instant', async () => {
      const charges = [charged('a')]
      await open().append([usage('before', { atMs: NOON - 1, charges }), usage('at', { charges })])
      expect(await ids({ fromMs: NOON })).to.deep.equal(['at'])
    })

    it('tells of one subject where asked to, and of adjustments all the same', async () => {
      const charges = [charged('a')]
      await open().append([
        usage('mine', { subject: 'k1', charges }),
        usage('theirs', { subject: 'k2', charges }),
        adjustment('x'),
        windowStart('y'),
      ])
      expect(await ids({ subject: 'k1' })).to.deep.equal(['mine', 'x', 'y'])
    })

    it('keeps tenants apart', async () => {
      await open().append([usage('a', { tenant: 'other', charges: [charged('a')] })])
      expect(await ids()).to.deep.equal([])
      expect(await ids({ tenant: 'other' })).to.deep.equal(['a'])
    })

    it('tells of what was appended just before', async () => {
      for (let call = 0; call < 20; call += 1) {
        await open().append([usage(`c${call}`, { charges: [charged('a')] })])
        expect(await ids()).to.have.length(call + 1)
      }
    })
  })

  describe('counterEvents, page by page', () => {
    const entries: readonly Entry[] = Array.from({ length: 25 }, (_, index): Entry => {
      const place = { atMs: NOON + Math.floor(index / 4), charges: index % 3 === 0 ? [charged('a')] : [] }
      return index % 7 === 6 ? adjustment(`e${index}`, { atMs: place.atMs }) : usage(`e${index}`, place)
    })
    beforeEach(() => open().append(entries))

    for (const limit of [1, 4, 10, 25, 100]) {
      it(`of ${limit} entries is the same as at once`, async () => {
        const { events } = await ask()
        const paged: CounterEvent[] = []
        let after: CounterEventQuery['after']
        for (let pages = 0; ; pages += 1) {
          expect(pages, 'pages').to.be.at.most(Math.ceil(entries.length / limit))
          const page = await ask({ limit, after })
          paged.push(...page.events)
          if (page.next === undefined) break
          after = { atMs: page.next.atMs, id: page.next.id }
        }
        expect(paged).to.deep.equal(events)
        expect(events).to.have.length(11)
      })
    }

    it('goes on behind an entry that is not there', async () => {
      const after = { atMs: NOON + 3, id: 'e' }
      expect(await ids({ after })).to.deep.equal(await ids({ fromMs: NOON + 3 }))
    })
  })

  describe('windowStarts', () => {
    const starts = async (toMs: number, ...counters: CounterEventQuery['counters']): Promise<unknown[]> => {
      const found = await open().windowStarts({ tenant: 't', counters, toMs })
      return found.map(({ id, counter }) => [id, counter])
    }

    it('tells the latest of each counter that has begun one, up to an instant', async () => {
      await open().append([
        windowStart('new', { atMs: NOON + HOUR }),
        windowStart('old'),
        windowStart('later', { atMs: NOON + 2 * HOUR }),
        windowStart('of-b', { counter: 'b' }),
        windowStart('elsewhere', { partition: 'q', atMs: NOON + HOUR }),
        usage('call', { atMs: NOON + HOUR, charges: [charged('a')] }),
      ])
      expect(await starts(NOON + HOUR, { partition: 'p', name: 'c' }, B, A)).to.have.deep.members([
        ['of-b', 1],
        ['new', 2],
      ])
      expect(await starts(NOON - 1, A, B)).to.deep.equal([])
    })

    it('tells all of it, with what was topped up before it began', async () => {
      await open().append([windowStart('w', { endMs: null, quota: null, toppedUp: 5 })])
      const event = { id: 'w', atMs: NOON, counter: 0, kind: 'window-start', endMs: null, quota: null, toppedUp: 5 }
      expect(await open().windowStarts({ tenant: 't', counters: [A], toMs: NOON })).to.deep.equal([event])
      expect((await ask()).events).to.deep.equal([event])
    })

    it('keeps tenants apart', async () => {
      await open().append([windowStart('w', { tenant: 'other' })])
      expect(await starts(NOON, A)).to.deep.equal([])
    })
  })

  describe('find', () => {
    const written = [
      usage('a', { charges: [charged('a')], dimensions: { tenant: 't', user: 'u' } }),
      adjustment('b', { by: 'root' }),
      windowStart('c', { endMs: null }),
    ]
    beforeEach(() => open().append(written))
    const found = async (...wanted: string[]): Promise<readonly Entry[]> =>
      [...(await open().find('t', wanted))].sort((one, other) => (one.id < other.id ? -1 : 1))

    it('gives back entries of each kind as they were', async () => {
      expect(await found('a', 'b', 'c')).to.deep.equal(written)
    })

    it('leaves out ids that are not there, and finds one once that is asked for twice', async () => {
      expect(await found('c', 'nobody', 'c')).to.deep.equal([written[2]])
      expect(await found()).to.deep.equal([])
    })

    it('keeps tenants apart', async () => {
      expect(await open().find('other', ['a'])).to.deep.equal([])
    })

    it('takes a thousand ids at once', async () => {
      const many = Array.from({ length: 997 }, (_, index) => usage(`many-${index}`))
      await open().append(many)
      expect(await found('a', 'b', 'c', ...many.map(({ id }) => id))).to.have.length(1_000)
    })
  })
}
