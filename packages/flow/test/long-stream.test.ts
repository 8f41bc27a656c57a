import { CompiledPlan, MemoryCounterStore, MemoryLedger, type Plan, type Subject, type Window } from '@tallygate/core'
import { createQuota, type Answer, type Call, type Quota } from '@tallygate/flow'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import { KnownLimits } from '../src/known-limits.ts'
import { Sweeper } from '../src/sweeper.ts'

const ALWAYS = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
const MINUTE = 60_000
const TEN_MINUTES = 10 * MINUTE
/** As often as the quota's own heartbeat. */
const HEARTBEAT_MS = 5_000
const URL = '/v1/chat/completions'
const BODY = Buffer.from(
  '{"model":"gpt-4o","max_tokens":800,"stream":true,"stream_options":{"include_usage":true},' +
    '"messages":[{"role":"user","content":"Tell me everything."}]}',
)
/** What is held of a call: its bytes, and the tokens that it asks for. */
const RESERVED = BODY.length + 800
const SUBJECT: Subject = {
  id: 'key-1',
  tenant: 'default',
  standing: 'registered',
  dimensions: { tenant: 'default', key: 'key-1' },
}

function planOf(perMinute: Window, onExpiry: Plan['onExpiry'] = 'keep'): Plan {
  return {
    name: 'p',
    onExpiry,
    limits: [
      { name: 'per-minute', unit: 'tokens', quota: 2_000, window: perMinute },
      { name: 'per-day', unit: 'tokens', quota: 100_000, window: { kind: 'fixed', every: 'day' } },
    ],
  }
}

/** A quota on a clock that stands still, and one stream through it. */
class Bed {
  readonly clock = new SettableClock(Date.UTC(2026, 0, 15, 12, 0, 10))
  readonly startMs = this.clock.now()
  /** Remembers what has expired for as long as Redis does: longer than the stream. */
  readonly store = new MemoryCounterStore({ clock: this.clock.now, closedForMs: 15 * MINUTE })
  readonly ledger = new MemoryLedger()
  readonly quota: Quota
  /** Of another node. */
  readonly sweeper: Sweeper

  constructor(plan: Plan) {
    this.sweeper = new Sweeper({
      store: this.store,
      ledger: this.ledger,
      limits: new KnownLimits(() => [new CompiledPlan(plan)]),
      logger: { warn: () => {}, error: () => {} },
      rebuildsFromMs: Infinity,
      beforeRead: async () => {},
      nowMs: this.clock.now,
      plansOf: async () => [],
      adjust: () => false,
    })
    this.quota = createQuota({
      store: this.store,
      ledger: this.ledger,
      plans: [plan],
      defaultPlans: ['p'],
      clock: this.clock.now,
      pepper: 'a pepper for tests, long enough to be one',
      logger: { warn: () => {}, error: () => {} },
    })
  }

  /** A call that was decided on: itself, and the status of its denial. */
  async begin(): Promise<{ call: Call; status: number }> {
    const call = this.quota.begin({ method: 'POST', url: URL, headers: {} })
    call.identifyAs(SUBJECT)
    await call.resolvePlans()
    const denial = call.read(BODY) ?? (await call.admit())
    if (denial === undefined) {
      call.meter()
      call.recordAtEnd()
    }
    return { call, status: denial?.status ?? 200 }
  }

  /** Streams for so long, with an event at every beat, and ends with the provider's figures. */
  async stream(call: Call, forMs: number, outputTokens: number, beats: 'beats' | 'is paused'): Promise<void> {
    const answer = call.answer({ push: () => {} })
    answer.head(200, { getHeader: (name) => (name === 'content-type' ? 'text/event-stream' : undefined) })
    for (let passedMs = 0; passedMs < forMs; passedMs += HEARTBEAT_MS) {
      write(answer, { choices: [{ index: 0, delta: { content: 'word ' } }] })
      this.clock.advance(HEARTBEAT_MS)
      if (beats === 'beats') await call.extend(this.clock.now())
      // Another node sweeps: it must find nothing to expire while this one beats.
      if (beats === 'beats') expect(await this.store.sweep(10)).to.deep.equal([])
      else await this.sweeper.sweep()
    }
    write(answer, { choices: [], usage: { prompt_tokens: 20, completion_tokens: outputTokens } })
    answer.write(Buffer.from('data: [DONE]\n\n'))
    await answer.settled()
    await answer.end()
    await this.quota.drain()
  }

  /** Tokens used, per minute and per day, as of now. */
  async used(): Promise<number[]> {
    return (await this.quota.limitsOf(SUBJECT)).statuses.map(({ used }) => used)
  }
}

function write(answer: Answer, event: object): void {
  answer.write(Buffer.from(`data: ${JSON.stringify({ model: 'gpt-4o', ...event })}\n\n`))
}

describe('a stream of ten minutes under a limit of tokens a minute', () => {
  let bed: Bed
  afterEach(() => bed.quota.close(50))

  const windows: readonly (readonly [string, Window])[] = [
    ['fixed', { kind: 'fixed', durationMs: MINUTE }],
    ['sliding', { kind: 'sliding', durationMs: MINUTE }],
  ]
  for (const [kind, window] of windows) {
    it(`${kind}: what was reserved stays in its first minute, the rest is charged to its last`, async () => {
      bed = new Bed(planOf(window))
      const { call } = await bed.begin()
      expect(await bed.used(), 'in its first minute').to.deep.equal([RESERVED, RESERVED])
      await bed.stream(call, TEN_MINUTES, 7_000, 'beats')
      expect(await bed.used(), 'in its last minute').to.deep.equal([7_020 - RESERVED, 7_020])

      // The stream has used up more than a minute's quota: it did not escape the short window.
      expect((await bed.begin()).status).to.equal(429)
      bed.clock.advance(2 * MINUTE)
      expect((await bed.used())[0], 'when that minute is over').to.equal(0)
      const { call: next, status } = await bed.begin()
      expect(status).to.equal(200)
      next.release()
    })

    it(`${kind}: in between nothing of it is in the way of others`, async () => {
      bed = new Bed(planOf(window))
      const { call } = await bed.begin()
      bed.clock.advance(2 * MINUTE)
      expect(await bed.used()).to.deep.equal([0, RESERVED])
      const { call: other, status } = await bed.begin()
      expect(status).to.equal(200)
      other.release()
      call.release()
    })

    it(`${kind}: what it did not use is given back to the day, and not to a minute that is over`, async () => {
      bed = new Bed(planOf(window))
      const { call } = await bed.begin()
      await bed.stream(call, TEN_MINUTES, 50, 'beats')
      expect(await bed.used()).to.deep.equal([0, 70])
    })
  }

  for (const onExpiry of ['keep', 'release'] as const) {
    it(`is charged in full, once, where the node was paused and its hold expired (${onExpiry})`, async () => {
      bed = new Bed(planOf({ kind: 'fixed', durationMs: MINUTE }, onExpiry))
      const { call } = await bed.begin()
      await bed.stream(call, TEN_MINUTES, 7_000, 'is paused')
      expect((await bed.used())[1]).to.equal(7_020)
      // The sweeper had written that it expired: its own entry stands in place of that.
      const entries = await bed.ledger.entries(ALWAYS)
      expect(entries.map(({ id, outcome, usage }) => [id, outcome, usage?.totalTokens])).to.deep.equal([
        [call.attemptId, 'complete', 7_020],
      ])
      // What was given back meanwhile is charged to the minute of the end; the ledger has it in that of the beginning.
      const drifts = (await bed.quota.driftOf(SUBJECT)).map(({ drift }) => drift)
      expect(drifts).to.deep.equal([onExpiry === 'keep' ? 0 : RESERVED, 0])
    })
  }

  it('has one entry, by which the same counters can be worked out again', async () => {
    bed = new Bed(planOf({ kind: 'fixed', durationMs: MINUTE }))
    const { call } = await bed.begin()
    await bed.stream(call, TEN_MINUTES, 7_000, 'beats')
    const entries = await bed.ledger.entries(ALWAYS)
    expect(entries).to.have.length(1)
    const [entry] = entries
    expect(entry).to.include({ admittedAtMs: bed.startMs, atMs: bed.startMs + TEN_MINUTES, outcome: 'complete' })
    expect(entry!.charges.map(({ counter, reserved, actual }) => [counter, reserved, actual])).to.deep.equal([
      ['p/per-minute', RESERVED, 7_020],
      ['p/per-day', RESERVED, 7_020],
    ])
  })
})
