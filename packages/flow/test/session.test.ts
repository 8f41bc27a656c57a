import { MemoryCounterStore, MemoryLedger, QuotaError, type Limit, type UsageEntry } from '@tallygate/core'
import { createQuota, type QuotaOptions, type Session } from '@tallygate/flow'
import { ClientFrames, frameOf, runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { subject } from './quota-bed.ts'

const PEPPER = 'a pepper for tests, long enough to be one'
const UPGRADE = { upgrade: 'websocket', connection: 'Upgrade' }
const TOKENS: Limit = { name: 'tokens', unit: 'tokens', quota: 1_000, window: { kind: 'lifetime' } }
const REQUESTS: Limit = { name: 'requests', unit: 'requests', quota: 5, window: { kind: 'lifetime' } }
const AT_ONCE: Limit = { name: 'at-once', unit: 'requests', quota: 1, window: { kind: 'concurrent' } }

/** A session without sockets: what goes out is kept, what comes in is said by the test. */
class SessionBed {
  readonly clock = new SettableClock()
  readonly store = new MemoryCounterStore({ clock: this.clock.now })
  readonly ledger = new MemoryLedger()
  readonly quota
  readonly toCaller: Buffer[] = []
  readonly toProvider: Buffer[] = []
  isClosed = false

  constructor(limits: readonly Limit[], options: Partial<QuotaOptions> = {}) {
    this.quota = createQuota({
      plans: [{ name: 'plan', limits }],
      defaultPlans: ['plan'],
      pepper: PEPPER,
      store: this.store,
      ledger: this.ledger,
      clock: this.clock.now,
      logger: { warn: () => {}, error: () => {} },
      ...options,
    })
  }

  /** A session that was admitted, or the status of its refusal. */
  async tryOpen(url = '/v1/realtime?model=gpt-realtime'): Promise<Session | number> {
    const call = this.quota.begin({ method: 'GET', url, headers: UPGRADE })
    call.identifyAs(subject())
    await call.resolvePlans()
    const denial = await call.admit()
    if (denial !== undefined) return denial.status
    call.meter()
    call.recordAtEnd()
    return call.session({
      toCaller: (bytes) => this.toCaller.push(bytes),
      toProvider: (bytes) => this.toProvider.push(bytes),
      close: () => {
        this.isClosed = true
      },
    })
  }

  async open(url?: string): Promise<Session> {
    const session = await this.tryOpen(url)
    if (typeof session === 'number') throw new Error(`refused with ${session}`)
    return session
  }

  async entries(): Promise<readonly UsageEntry[]> {
    return (await this.ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })).toReversed()
  }

  async used(limit: string): Promise<number> {
    const { statuses } = await this.quota.limitsOf(subject(), {})
    return statuses.find(({ bound }) => bound.limit.name === limit)!.used
  }

  /** Code of the close frame that the caller has got last, if it was one. */
  get closeCode(): number | undefined {
    const last = this.toCaller.at(-1)
    return last?.[0] === 0x88 ? last.readUInt16BE(2) : undefined
  }
}

function text(message: unknown): Buffer {
  return frameOf(0x1, Buffer.from(JSON.stringify(message)))
}

function done(input: number, output: number): Buffer {
  const usage = { input_tokens: input, output_tokens: output, total_tokens: input + output }
  return text({ type: 'response.done', response: { usage } })
}

const said = (delta: string): Buffer => text({ type: 'response.output_text.delta', delta })
/** Lets a session settle one call and begin the next. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 15))

describe('Session', () => {
  const open: SessionBed[] = []
  function bedOf(limits: readonly Limit[], options: Partial<QuotaOptions> = {}): SessionBed {
    const bed = new SessionBed(limits, options)
    open.push(bed)
    return bed
  }
  afterEach(async () => {
    for (const bed of open.splice(0)) await bed.quota.close(500)
  })

  it('records and charges the same however its messages are cut and come', async () => {
    const responses = fc.array(fc.record({ input: fc.nat(50), output: fc.nat(50), words: fc.nat(4) }), { maxLength: 6 })
    const cuts = fc.array(fc.nat(5_000), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(responses, cuts, fc.boolean(), async (all, places, pauses) => {
        const bed = bedOf([TOKENS, REQUESTS, AT_ONCE])
        const session = await bed.open()
        const bytes = Buffer.concat(
          all.flatMap(({ input, output, words }) => [...Array<Buffer>(words).fill(said('usage')), done(input, output)]),
        )
        const ends = [...new Set(places.map((place) => place % (bytes.length + 1))), bytes.length].toSorted(
          (a, b) => a - b,
        )
        let at = 0
        for (const end of ends) {
          session.fromProvider(bytes.subarray(at, end))
          if (pauses) await new Promise((resolve) => setImmediate(resolve))
          at = end
        }
        session.callerEnded()
        await bed.quota.drain(1_000)
        const sum = all.reduce((total, { input, output }) => total + input + output, 0)
        const entries = await bed.entries()
        expect(entries.reduce((total, { usage }) => total + (usage?.totalTokens ?? 0), 0)).to.equal(sum)
        expect(await bed.used('tokens')).to.equal(sum)
        expect(await bed.used('requests')).to.equal(1)
        expect(await bed.used('at-once')).to.equal(0)
        expect(Buffer.concat(bed.toCaller).equals(bytes)).to.equal(true)
        await bed.quota.close(500)
      }),
      { numRuns: runs(25) },
    )
  })

  it('is closed at the end of the message that is under way when its quota is reached', async () => {
    const bed = bedOf([{ ...TOKENS, quota: 50 }])
    const session = await bed.open()
    const under = said('a word, and another')
    session.fromProvider(Buffer.concat([done(30, 30), under.subarray(0, 10)]))
    await settled()
    expect(bed.isClosed).to.equal(false)
    session.fromProvider(Buffer.concat([under.subarray(10), said('what comes behind it')]))
    expect(bed.isClosed).to.equal(true)
    const told = Buffer.concat(bed.toCaller)
    expect(told.indexOf('what comes behind it')).to.equal(-1)
    expect(told.includes('"type":"error"')).to.equal(true)
    expect(bed.closeCode).to.equal(1008)
    const [close] = new ClientFrames().push(Buffer.concat(bed.toProvider))
    expect(close!.opcode).to.equal(0x8)
    expect(close!.payload.readUInt16BE(0)).to.equal(1000)
  })

  it('is closed within a message that does not come to its end', async () => {
    const bed = bedOf([{ ...TOKENS, quota: 50 }])
    const session = await bed.open()
    const half = said('half a word').subarray(0, 10)
    session.fromProvider(Buffer.concat([done(30, 30), half]))
    await new Promise((resolve) => setTimeout(resolve, 450))
    expect(bed.isClosed).to.equal(true)
    expect(bed.toCaller.at(-1)!.subarray(-10).equals(half)).to.equal(true)
  })

  it('records what its provider states after the call that follows was refused', async () => {
    const bed = bedOf([{ ...TOKENS, quota: 50 }])
    const session = await bed.open()
    session.fromProvider(Buffer.concat([done(30, 30), said('half').subarray(0, 10)]))
    await settled()
    session.fromProvider(Buffer.concat([said('half').subarray(10), done(1, 1)]))
    await settled()
    expect((await bed.entries()).map(({ usage }) => usage?.totalTokens)).to.deep.equal([60, 2])
    expect(Buffer.concat(bed.toCaller).includes('"input_tokens":1')).to.equal(false)
    const other = bedOf([{ ...TOKENS, quota: 50 }])
    const late = await other.open()
    const second = done(1, 2)
    late.fromProvider(Buffer.concat([done(30, 30), second.subarray(0, 10)]))
    await settled()
    late.fromProvider(second.subarray(10))
    await settled()
    expect((await other.entries()).map(({ usage }) => usage?.totalTokens)).to.deep.equal([60, 3])
  })

  it('counts what another model has written down as calls of that model', async () => {
    const bed = bedOf([TOKENS])
    const session = await bed.open()
    const type = 'conversation.item.input_audio_transcription.completed'
    const transcription = { model: 'gpt-4o-transcribe' }
    session.fromProvider(text({ type: 'session.updated', session: { audio: { input: { transcription } } } }))
    session.fromProvider(
      text({ type, usage: { type: 'tokens', input_tokens: 26, output_tokens: 9, total_tokens: 35 } }),
    )
    session.fromProvider(text({ type, usage: { type: 'duration', seconds: 3 } }))
    session.fromProvider(done(10, 20))
    await settled()
    session.callerEnded()
    await bed.quota.drain(1_000)
    const entries = await bed.entries()
    expect(entries.map(({ model, usage }) => [model, usage?.totalTokens, usage?.seconds])).to.have.deep.members([
      ['gpt-4o-transcribe', 35, undefined],
      ['gpt-4o-transcribe', undefined, 3],
      ['gpt-realtime', 30, undefined],
    ])
    expect(await bed.used('tokens')).to.be.at.least(65)
  })

  it('outlives the lifetime of its holds, call after call', async () => {
    const bed = bedOf([AT_ONCE, TOKENS], { holdLifetimeMs: 1_000 })
    const session = await bed.open()
    for (const total of [30, 60, 90]) {
      session.fromProvider(done(10, 20))
      for (let step = 0; step < 3; step += 1) {
        bed.clock.advance(400)
        await new Promise((resolve) => setTimeout(resolve, 200))
        expect(await bed.used('at-once')).to.equal(1)
        expect(await bed.tryOpen()).to.equal(429)
      }
      expect(await bed.used('tokens')).to.be.within(total, total + 100)
    }
    session.callerEnded()
    await bed.quota.drain(1_000)
    expect(await bed.used('tokens')).to.equal(90)
    expect(await bed.used('at-once')).to.equal(0)
  })

  it('whose process dies leaves what was recorded, and what the call under way held; nothing runs on', async () => {
    const bed = bedOf([AT_ONCE, TOKENS, REQUESTS])
    const session = await bed.open()
    session.fromProvider(done(10, 20))
    await settled()
    // Nobody extends its holds any more.
    bed.clock.advance(61_000)
    const next = bedOf([AT_ONCE, TOKENS, REQUESTS], { store: bed.store, ledger: bed.ledger, clock: bed.clock.now })
    await new Promise((resolve) => setTimeout(resolve, 1_300))
    const entries = await bed.entries()
    expect(entries.map(({ outcome, usage }) => [outcome, usage?.totalTokens])).to.deep.equal([
      ['complete', 30],
      ['expired', undefined],
    ])
    expect(new Set(entries.map(({ callId }) => callId)).size).to.equal(1)
    expect(await next.used('at-once')).to.equal(0)
    expect(await next.used('requests')).to.equal(1)
    expect(await next.used('tokens')).to.equal(30 + entries[1]!.charges.find(({ unit }) => unit === 'tokens')!.actual)
    session.callerEnded()
  })

  it('is closed where its entry must not be late, and is', async () => {
    const ledger = new MemoryLedger()
    const append = ledger.append.bind(ledger)
    let isAway = false
    ledger.append = (entries) => (isAway ? new Promise(() => {}) : append(entries))
    const bed = bedOf([TOKENS], { ledger, onLateEntry: 'break', durableWithinMs: 20 })
    const session = await bed.open()
    isAway = true
    session.fromProvider(done(10, 20))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(bed.isClosed).to.equal(true)
    expect(bed.closeCode).to.equal(1011)
    expect(session.isOver).to.equal(true)
    // Or it is tried again for as long as the process runs, and keeps it running.
    isAway = false
  })

  it('is closed where its limits can not be checked and refuse then, and goes on where they admit', async () => {
    for (const onUnavailable of ['refuse', 'admit'] as const) {
      const bed = bedOf([{ ...TOKENS, onUnavailable }])
      const session = await bed.open()
      bed.store.reserve = () => {
        throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'it is away')
      }
      session.fromProvider(done(10, 20))
      await settled()
      expect(bed.isClosed).to.equal(onUnavailable === 'refuse')
      if (onUnavailable === 'refuse') expect(bed.closeCode).to.equal(1013)
      session.callerEnded()
    }
  })

  it('goes on while one of several plans has room', async () => {
    const tight = { name: 'tight', limits: [{ ...TOKENS, quota: 50 }] }
    const wide = { name: 'wide', limits: [{ ...TOKENS, quota: 100 }] }
    const bed = bedOf([], { plans: [tight, wide], defaultPlans: ['tight', 'wide'], combine: 'any' })
    const session = await bed.open()
    session.fromProvider(done(30, 30))
    await settled()
    expect(bed.isClosed).to.equal(false)
    session.fromProvider(done(30, 30))
    await settled()
    expect(bed.isClosed).to.equal(true)
  })

  it('tells neither side anything after either has ended', async () => {
    const bed = bedOf([TOKENS])
    const session = await bed.open()
    session.callerEnded()
    session.providerEnded()
    session.fromProvider(done(1, 1))
    session.fromCaller(Buffer.from('more'))
    session.idle()
    session.leave(10)
    expect(bed.toCaller).to.deep.equal([])
    expect(bed.toProvider).to.have.length(1)
    await bed.quota.drain(1_000)
    expect((await bed.entries()).map(({ outcome }) => outcome)).to.deep.equal(['aborted'])
  })
})
