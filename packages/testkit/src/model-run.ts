import type { AdjustRequest, Charge, CounterStore, ReserveReply, ReserveRequest, SettleRequest } from '@tallygate/core'
import { expect } from 'chai'
import { CounterOracle } from './counter-oracle.ts'
import { ModelCalls, type ModelCall } from './model-calls.ts'
import { byCounter, byId, inOrder, same } from './model-answers.ts'
import { LIMITS, type ModelCommand, type ModelSequence } from './model-command.ts'
import type { SettableClock } from './settable-clock.ts'

export interface ModelRunOptions {
  readonly clock: SettableClock
  /** An empty store; asked again when it is to have lost everything. */
  readonly open: () => Promise<CounterStore>
  /** 2: some limits are shared more widely than the others. */
  readonly owners: 1 | 2
  /** Whether holds expire. */
  readonly expires: boolean
  /** Least step of the clock, in ms. */
  readonly stepMs: number
  /** Whether a sweep lists at once all that expired. */
  readonly sweepsAtOnce: boolean
}

type Command<Kind extends ModelCommand['kind']> = ModelCommand & { readonly kind: Kind }

/** Stores expire a bounded number of holds with each call. */
const MOST_OPEN = 7
/** First-use windows that have not begun are forgotten after an hour. */
const LONGEST_MS = 55 * 60_000
/** Entries older than this are not listed by id when a counter is seeded. */
const LISTED_MS = 20_000

/** Takes a store and the oracle through one sequence, and throws where they differ. */
export class ModelRun {
  readonly #options: ModelRunOptions
  readonly #oracle = new CounterOracle()
  readonly #calls: ModelCalls
  readonly #commands: readonly ModelCommand[]
  readonly #beganMs: number
  #store: CounterStore | undefined

  constructor(sequence: ModelSequence, options: ModelRunOptions) {
    this.#calls = new ModelCalls(sequence, options.owners, options.expires)
    this.#commands = sequence.commands
    this.#options = options
    this.#beganMs = options.clock.now()
  }

  async run(): Promise<void> {
    this.#store = await this.#options.open()
    this.#oracle.nowMs = this.#now()
    for (const command of this.#commands) await this.#do(command)
    await this.#read(this.#calls.limits.map((_, number) => number))
    await this.#store.close()
  }

  async #do(command: ModelCommand): Promise<void> {
    switch (command.kind) {
      case 'advance':
        return this.#advance(command.byMs)
      case 'reserve':
        return this.#reserve(command)
      case 'settle-unheard':
        return this.#settleNew([[command.limit, command.actual]])
      case 'change':
        return this.#calls.change(command.limit, command.to)
      case 'adjust':
        return this.#adjust(command)
      case 'read':
        return this.#read(command.limits)
      case 'sweep':
        return this.#sweep(command.acknowledges)
      case 'lose':
        return this.#lose()
      default: {
        const call = this.#calls.at(command.call)
        if (call !== undefined) await this.#doAgain(command, call)
      }
    }
  }

  async #doAgain(command: ModelCommand & { readonly call: number }, call: ModelCall): Promise<void> {
    switch (command.kind) {
      case 'reserve-again':
        return this.#reserveAgain(call)
      case 'extend':
        return this.#extend(call)
      case 'settle':
        return this.#settle(command, call)
      case 'settle-again':
        return this.#settleAgain(call)
      case 'release':
        return this.#release(call)
      case 'hold-state':
        return this.#holdState(call)
    }
  }

  async #advance(byMs: number): Promise<void> {
    const { clock, owners, stepMs } = this.#options
    if (this.#now() + byMs - this.#beganMs > LONGEST_MS) return
    clock.advance(Math.ceil(byMs / stepMs) * stepMs)
    this.#oracle.nowMs = this.#now()
    // A call expires what is due of its own owner only.
    if (owners > 1) await this.#touch()
  }

  async #reserve(command: Command<'reserve'>): Promise<void> {
    if (this.#isFull()) return
    const request = this.#calls.request(this.#calls.beginCommand(command), this.#now() - command.behindMs)
    await this.#expectReserved(request, command.interferes)
  }

  async #reserveAgain(call: ModelCall): Promise<void> {
    if (this.#oracle.hasLost(call.id)) return
    const request = this.#calls.request(call, this.#now())
    await this.#know(request.charges)
    if (!this.#isFull()) await this.#expectReserved(request, false)
  }

  async #expectReserved(request: ReserveRequest, interferes: boolean): Promise<void> {
    let reply: ReserveReply = await this.#the.reserve(request)
    for (let tries = 0; reply.outcome === 'unknown'; tries += 1) {
      expect(tries, 'times that counters were unknown').to.be.below(LIMITS)
      const { unknown, fence } = reply
      expect(reply.nowMs, 'nowMs').to.equal(this.#now())
      const charges = unknown.map((index) => request.charges[index]!)
      if (interferes && tries === 0) await this.#seedTooLate(charges, fence)
      else expect(await this.#seed(charges, fence), 'seeded').to.equal(true)
      reply = await this.#the.reserve(request)
    }
    same(reply, this.#oracle.reserve(request), 'reserve')
  }

  async #extend(call: ModelCall): Promise<void> {
    if (this.#isFull() || (this.#oracle.hasLost(call.id) && call.settled !== undefined)) return
    const request = this.#calls.request(call, this.#now())
    const isMadeAgain = this.#oracle.open().due > 0 || this.#oracle.holdState(call.id)?.state !== 'reserved'
    if (isMadeAgain && request.charges.some(canForget)) return
    await this.#know(request.charges)
    await this.#the.extend(request)
    this.#oracle.extend(request)
  }

  async #settle({ actuals, agoMs }: Command<'settle'>, call: ModelCall): Promise<void> {
    if (call.settled !== undefined) return this.#settleAgain(call)
    const known = this.#oracle.holdState(call.id)
    if (known === undefined && this.#oracle.idsSince(-Infinity).includes(call.id)) return
    // Which first-use window an instant was in, nobody remembers once it is over.
    const isAgo = known?.state === 'reserved' && call.parts.every(({ limit }) => limit.kind !== 'first-use')
    const atMs = isAgo ? Math.max(this.#now() - agoMs, this.#beganMs) : this.#now()
    await this.#expectSettled(call, this.#calls.settlement(call, actuals, atMs))
  }

  async #settleNew(actuals: readonly (readonly [limit: number, actual: number])[]): Promise<void> {
    const call = this.#calls.begin(actuals.map(([limit]) => [limit, 0]))
    const used = actuals.map(([, actual]) => actual)
    await this.#expectSettled(call, this.#calls.settlement(call, used, this.#now()))
  }

  /** The very same request, however often it is sent. */
  async #settleAgain(call: ModelCall): Promise<void> {
    const isOfNow = this.#options.owners === 1 && this.#calls.hasItsShapes(call)
    if (this.#oracle.hasLost(call.id) && !isOfNow) return
    if (call.settled !== undefined) await this.#expectSettled(call, call.settled)
  }

  async #expectSettled(call: ModelCall, request: SettleRequest): Promise<void> {
    const right = this.#oracle.settle(request)
    same(await this.#the.settle(request), right, 'settle')
    // What was released has no entry, and is not settled again.
    if (right !== 'closed') call.settled = request
  }

  async #release({ id, owner }: ModelCall): Promise<void> {
    await this.#the.release({ id, owner })
    this.#oracle.release({ id })
  }

  async #adjust({ limit, adjustment, amount, times, isKnown }: Command<'adjust'>): Promise<void> {
    await this.#expireDue()
    const charge = this.#calls.charge(limit, this.#now())
    const canTopUp = charge.window.kind !== 'sliding' && charge.window.kind !== 'concurrent'
    const asked = adjustment === 'top-up' && !canTopUp ? 'refund' : adjustment
    const request: AdjustRequest = { id: this.#calls.id('a'), charge, adjustment: asked, amount, atMs: this.#now() }
    if (isKnown) await this.#know([charge])
    const isSure = !canForget(charge) && (isKnown || !charge.isRebuilt)
    for (let sent = 0; sent < times; sent += 1) {
      const answer = await this.#the.adjust(request)
      const right = this.#oracle.adjust(request)
      if (isSure) same(answer, right, 'adjust')
    }
  }

  async #read(limits: readonly number[]): Promise<void> {
    await this.#expireDue()
    const charges = limits.map((number) => this.#calls.charge(number, this.#now()))
    await this.#know(charges)
    const { nowMs, statuses } = await this.#the.read(charges)
    same({ nowMs, statuses }, { nowMs: this.#now(), statuses: this.#oracle.read(charges) }, 'read')
  }

  async #holdState({ id, owner }: ModelCall): Promise<void> {
    await this.#expireDue()
    same(inOrder(await this.#the.holdState({ id, owner })), inOrder(this.#oracle.holdState(id)), 'holdState')
  }

  async #sweep(acknowledges: boolean): Promise<void> {
    const { sweepsAtOnce } = this.#options
    if (!sweepsAtOnce) await this.#expireDue()
    const right = this.#oracle.sweep().map((hold) => ({ ...hold, kept: byCounter(hold.kept) }))
    const listed = (await this.#the.sweep(100)).map((hold) => ({ ...hold, kept: byCounter(hold.kept) }))
    if (sweepsAtOnce) same(byId(listed), byId(right), 'sweep')
    for (const each of listed) {
      const expected = right.find(({ id }) => id === each.id)
      same(each, expected, 'sweep')
    }
    if (!acknowledges) return
    await this.#the.acknowledge(listed)
    this.#oracle.acknowledge(listed)
  }

  /** Takes time: what began in the very millisecond before may have been used. */
  async #lose(): Promise<void> {
    await this.#the.close()
    this.#options.clock.advance(this.#options.stepMs)
    this.#oracle.nowMs = this.#now()
    this.#store = await this.#options.open()
    this.#oracle.lose()
  }

  /** Seeds what the store doesn't know, for calls that leave unknown counters alone. */
  async #know(charges: readonly Charge[]): Promise<void> {
    if (!charges.some(({ isRebuilt }) => isRebuilt)) return
    await this.#expireDue()
    for (let tries = 0; ; tries += 1) {
      const { unknown, fence } = await this.#the.read(charges)
      if (unknown.length === 0) return
      expect(tries, 'times that counters were unknown').to.be.below(LIMITS)
      const ofThese = unknown.map((index) => charges[index]!)
      expect(await this.#seed(ofThese, fence), 'seeded').to.equal(true)
    }
  }

  async #seed(charges: readonly Charge[], fence: string): Promise<boolean> {
    for (const { counter, isRebuilt } of charges) expect(isRebuilt, `${counter.name}, which is unknown`).to.equal(true)
    let isSeeded = true
    for (const [owner, ofOwner] of Map.groupBy(charges, ({ counter }) => counter.owner)) {
      const countedUntilMs = this.#now() - LISTED_MS
      const counters = ofOwner.map((charge) => this.#oracle.seedOf(charge))
      // An id is closed where its hold would be, which is not always where the counter is.
      const closed = this.#options.owners > 1 ? [] : this.#oracle.idsSince(countedUntilMs)
      const request = { owner, counters, fence, closed, countedUntilMs }
      if (await this.#the.seed(request)) this.#oracle.seed(request)
      else isSeeded = false
    }
    return isSeeded
  }

  /** Reads the ledger, and is overtaken by a settlement on what it read of. */
  async #seedTooLate(charges: readonly Charge[], fence: string): Promise<void> {
    await this.#settleNew(charges.map(({ counter }, index) => [Number(counter.name.slice(-1)), 3 - index]))
    expect(await this.#seed(charges, fence), 'seeded behind a settlement').to.equal(false)
  }

  /** Any call expires what is due; those that only look do not. */
  async #expireDue(): Promise<void> {
    if (this.#oracle.open().due > 0) await this.#touch()
  }

  async #touch(): Promise<void> {
    const id = this.#calls.id('touch')
    for (const owner of ['o', 'w'].slice(0, this.#options.owners)) await this.#the.release({ id, owner })
    this.#oracle.release({ id })
  }

  #isFull(): boolean {
    return this.#oracle.open().all >= MOST_OPEN
  }

  get #the(): CounterStore {
    return this.#store!
  }

  #now(): number {
    return this.#options.clock.now()
  }
}

/** Once a window is over, or has another shape, a store may forget it at any time, and then not know it. */
function canForget({ window, isRebuilt }: Charge): boolean {
  return isRebuilt && window.kind !== 'lifetime'
}
