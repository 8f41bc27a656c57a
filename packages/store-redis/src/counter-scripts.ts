import { QuotaError } from '@tallygate/core'
import type {
  AdjustRequest,
  Charge,
  Clock,
  HeldUnits,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SeedRequest,
  SettleOutcome,
  SettleRequest,
} from '@tallygate/core'
import type { Cluster, Redis } from 'ioredis'
import { baseOf, chargeArguments, type ChargeArguments } from './charge-arguments.ts'
import { Shapes } from './charge-shape.ts'
import { LuaScript, luaText } from './lua-script.ts'
import { isFast, type FastConstants } from './partition-code.ts'
import { fastReserve, plainReply } from './reserve-script.ts'
import { SameTickWrites } from './same-tick-writes.ts'
import { fenceOf, fenceValues } from './seed-fence.ts'
import { fastSettle } from './settle-script.ts'
import { afterStatuses, statusesOf } from './status-figures.ts'

export interface CounterScriptsOptions {
  readonly client: Redis | Cluster
  readonly prefix: string
  readonly closedForMs: number
  readonly clock: Clock | undefined
  /** Shapes of charges for which a script of their own is made. */
  readonly mostShapes: number
  /** Whether all keys are on one server, which can say since when it has counted. */
  readonly isOneServer: boolean
  /** Which run of which server has the keys of an owner. */
  readonly runOf: (owner: string) => number | Promise<number>
}

/** What is asked for, beside the charges: two numbers of the operation, and the end of a hold. */
interface Operation {
  readonly id: string
  readonly owner: string
  readonly first: number
  readonly second?: number
  readonly tail?: string
}

/** Scripts that were made for a shape, where straight lines can say all of it. */
interface FastScripts {
  readonly isFast: boolean
  reserve?: LuaScript
  settle?: LuaScript
}

/** Scripts that take charges. */
type ScriptName = 'reserve' | 'extend' | 'settle' | 'release' | 'adjust' | 'seed' | 'read'

/** An expired hold as an owner's scripts list it. */
export interface ListedHold {
  readonly id: string
  readonly expiredAtMs: number
  readonly admittedAtMs: number
  readonly context: string
  /** Further owners that hold something for the same call. */
  readonly others: readonly string[]
  readonly kept: readonly HeldUnits[]
}

/** A hold as its owner's scripts tell it. */
export interface KnownHold extends Pick<ListedHold, 'others' | 'kept'> {
  readonly state: HoldState
}

/** Owners with holds are announced to the slow sweep at most once in this time. */
export const ANNOUNCE_EVERY_MS = 60_000
/** The slow sweep visits them this often: longer apart than they are announced. */
export const VISIT_EVERY_MS = 2 * ANNOUNCE_EVERY_MS
/** How long a partition on a Cluster outlives its windows, so that those who come daily are known. */
const GRACE_MS = 86_400_000
/** Of a hold that one of its owners has beside the one that the call is under. */
export const PART = '*'

const OUTCOMES = { refused: 0, granted: 1, stale: 2, closed: 3, again: 4, unknown: 5, plainGranted: 11 } as const
const ADJUSTMENTS: Record<AdjustRequest['adjustment'], number> = { reset: 0, 'top-up': 1, refund: 2 }

/** The store's operations on counters whose keys one server has, each one script and one round trip. */
export class CounterScripts {
  readonly prefix: string
  readonly #options: CounterScriptsOptions
  readonly #shapes: Shapes<FastScripts>
  readonly #bakedShapes: Shapes<FastScripts>
  readonly #constants: FastConstants
  readonly #openedMs: number
  readonly #writes: SameTickWrites
  readonly #scripts: Readonly<Record<ScriptName, LuaScript>>
  readonly #holdState: LuaScript
  readonly #sweep: LuaScript

  constructor(options: CounterScriptsOptions) {
    this.#options = options
    this.prefix = options.prefix
    this.#writes = new SameTickWrites(options.client)
    this.#shapes = new Shapes(Math.ceil(options.mostShapes / 2))
    this.#bakedShapes = new Shapes(Math.floor(options.mostShapes / 2))
    this.#openedMs = this.nowMs()
    const preamble = `local CLOSED_FOR,GRACE,MARKS,SERVER_SALT,ANNOUNCE_EVERY,VISIT_EVERY=${options.closedForMs},${
      options.isOneServer ? `0,true,false` : `${GRACE_MS},false,true`
    },${ANNOUNCE_EVERY_MS},${VISIT_EVERY_MS}`
    const { clock, isOneServer } = options
    this.#constants = { preamble, hasClock: clock !== undefined, isOneServer }
    const script = (name: string): LuaScript => new LuaScript(luaText(name, `${preamble}\nlocal SHAPE=nil`))
    this.#scripts = {
      reserve: script('reserve'),
      extend: script('extend'),
      settle: script('settle'),
      release: script('release'),
      adjust: script('adjust'),
      seed: script('seed'),
      read: script('read'),
    }
    this.#holdState = script('hold-state')
    this.#sweep = script('sweep')
  }

  /** The time to use in place of the server's; -1: the server's. */
  nowMs(): number {
    const { clock } = this.#options
    return clock === undefined ? -1 : Math.floor(clock())
  }

  /** The figures of a decision; {@link replyOf} reads them. */
  reserve(request: ReserveRequest, others = ''): Promise<readonly number[]> {
    const { id, owner, charges, lifetimeMs, context } = request
    const args = this.#reserveArguments(owner, charges)
    const operation = { id, owner, first: lifetimeMs, tail: `${others}\0${context}` }
    return this.#run('reserve', operation, args) as Promise<number[]>
  }

  replyOf(reply: readonly number[], charges: readonly Charge[]): ReserveReply {
    const [outcome, nowMs] = reply as [number, number]
    switch (outcome) {
      case OUTCOMES.granted:
      case OUTCOMES.again:
        return { outcome: 'granted', nowMs, statuses: statusesOf(reply, 2, charges) }
      case OUTCOMES.refused:
        return { outcome: 'refused', nowMs, statuses: statusesOf(reply, 2, charges) }
      case OUTCOMES.stale:
        return { outcome: 'stale', nowMs }
      case OUTCOMES.closed:
        return { outcome: 'closed', nowMs }
      case OUTCOMES.unknown: {
        const unknown = reply.slice(3, 3 + reply[2]!)
        return { outcome: 'unknown', nowMs, unknown, fence: fenceOf(charges, unknown, reply.slice(3 + reply[2]!)) }
      }
      default:
        return plainReply(reply, charges)
    }
  }

  /** Whether a decision has made a hold that was not there before. */
  isNew(reply: readonly number[]): boolean {
    return reply[0] === OUTCOMES.granted || reply[0] === OUTCOMES.plainGranted
  }

  /** `false`: it was settled or released before. */
  async extend({ id, owner, charges, lifetimeMs, context }: ReserveRequest, others = ''): Promise<boolean> {
    const args = this.#arguments(owner, charges)
    return (await this.#run('extend', { id, owner, first: lifetimeMs, tail: `${others}\0${context}` }, args)) === 1
  }

  /** @param what `if-held`: an id that is not known is left alone. */
  async settle(
    { id, owner, charges, atMs }: SettleRequest,
    what: 'always' | 'if-held' = 'always',
  ): Promise<SettleOutcome> {
    const actuals = charges.map(({ actual }) => actual)
    const args = this.#arguments(
      owner,
      charges.map(({ charge }) => charge),
      actuals,
    )
    const reply = await this.#run('settle', { id, owner, first: atMs, second: what === 'always' ? 0 : 1 }, args)
    return reply === 0 ? 'closed' : reply === 1 ? 'settled' : 'late'
  }

  /**
   * @param ending `withdraw`: the id is forgotten, and decided on again if it comes again.
   * @returns Further owners that hold something for the same call.
   */
  async release(id: string, owner: string, ending: 'close' | 'withdraw' = 'close'): Promise<readonly string[]> {
    const args = this.#arguments(owner, [])
    const others = await this.#run('release', { id, owner, first: ending === 'withdraw' ? 1 : 0 }, args)
    return ownersIn(String(others))
  }

  async adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): Promise<boolean> {
    const { owner } = charge.counter
    const args = this.#arguments(owner, [charge], [amount])
    return (await this.#run('adjust', { id, owner, first: atMs, second: ADJUSTMENTS[adjustment] }, args)) === 1
  }

  async seed({ owner, counters, fence, closed, countedUntilMs }: SeedRequest): Promise<boolean> {
    const charges = counters.map(({ charge }) => charge)
    const used = counters.map((each) => each.used)
    const args = this.#arguments(owner, charges, used)
    const said = counters.map(({ startMs, endMs, quota, toppedUp }) => [
      startMs ?? -1,
      endMs ?? -1,
      quota ?? -1,
      toppedUp,
    ])
    const steps = counters.flatMap((each, index) => (each.steps ?? []).map(([step, amount]) => [index, step, amount]))
    const fences = [...fenceValues(fence, charges), ...closed]
    const lists = [said, steps, fences].map((list) => JSON.stringify(list))
    return (await this.#run('seed', { id: '', owner, first: countedUntilMs }, args, lists)) === 1
  }

  /** @throws QuotaError `ERR_QUOTA_STALE` where Redis is outside the windows that were sent. */
  async read(owner: string, charges: readonly Charge[]): Promise<ReadReply> {
    const { isStale, ...reply } = await this.look(owner, charges)
    if (!isStale) return reply
    const now = new Date(reply.nowMs).toISOString()
    throw new QuotaError('ERR_QUOTA_STALE', `Redis says it is ${now}, outside the windows asked for`)
  }

  /** As {@link read}, for what is part of a decision. */
  async look(owner: string, charges: readonly Charge[]): Promise<ReadReply & { readonly isStale: boolean }> {
    const reply = (await this.#run('read', { id: '', owner, first: 0 }, this.#arguments(owner, charges))) as number[]
    const [outcome, nowMs] = reply as [number, number]
    const at = afterStatuses(2, charges)
    const unknown = reply.slice(at + 1, at + 1 + reply[at]!)
    const fence = fenceOf(charges, unknown, reply.slice(at + 1 + reply[at]!))
    const isStale = outcome === OUTCOMES.stale
    return { nowMs, statuses: statusesOf(reply, 2, charges), unknown, fence, isStale }
  }

  /** Also what it had set aside and has given back, as 0, and the further owners that hold something for the same call. */
  async holdState(id: string, owner: string): Promise<KnownHold | undefined> {
    const { client } = this.#options
    const reply = (await this.#holdState.run(client, [`${baseOf(this.prefix, owner)}h:${id}`], [])) as
      | [string, string, number, ...(string | number)[]]
      | null
    if (reply === null) return undefined
    const [state, others, expiresAtMs, ...figures] = reply
    const all = this.#heldUnits(figures)
    const held = all.filter(({ amount }) => amount >= 0)
    const known = { others: ownersIn(others), kept: all.map((each) => ({ ...each, amount: Math.max(0, each.amount) })) }
    if (state === 'h') return { ...known, state: { state: 'reserved', expiresAtMs, held } }
    if (state === 'e') return { ...known, state: { state: 'expired', held } }
    return { ...known, state: { state: state === 's' ? 'settled' : 'released' } }
  }

  /** Expires what is due of an owner, and lists what nobody acknowledged. */
  async sweepOwner(owner: string, most: number): Promise<{ open: number; listed: readonly ListedHold[] }> {
    const base = baseOf(this.prefix, owner)
    const args = this.#arguments(owner, [])
    const numbers = this.#numbers({ id: '', owner, first: most }, args.numbers, 0)
    const keys = [`${base}c:`]
    const reply = (await this.#sweep.run(this.#options.client, keys, [numbers, '', ''])) as [number, ...ListedReply[]]
    const [open, ...lists] = reply
    const listed = lists.map(([id, expiredAtMs, admittedAtMs, context, others, ...figures]) => {
      return { id, expiredAtMs, admittedAtMs, context, others: ownersIn(others), kept: this.#heldUnits(figures) }
    })
    return { open, listed }
  }

  /** With quotas in the shape as long as there are few; callers with quotas of their own make many. */
  #reserveArguments(owner: string, charges: readonly Charge[]): ChargeArguments<FastScripts> {
    const baked = chargeArguments(this.prefix, owner, charges, { shapes: this.#bakedShapes, quotas: 'baked' })
    return baked.isShared ? baked : this.#arguments(owner, charges)
  }

  #arguments(owner: string, charges: readonly Charge[], actuals?: readonly number[]): ChargeArguments<FastScripts> {
    return chargeArguments(this.prefix, owner, charges, { shapes: this.#shapes, quotas: 'sent', actuals })
  }

  #run(
    name: ScriptName,
    operation: Operation,
    args: ChargeArguments<FastScripts>,
    lists: readonly string[] = [],
  ): Promise<unknown> {
    const { shape, isShared } = args
    if ((name === 'reserve' || name === 'settle') && isShared) {
      shape.made ??= { isFast: isFast(shape.charges) }
      if (shape.made.isFast) {
        const make = name === 'reserve' ? fastReserve : fastSettle
        shape.made[name] ??= make(shape.text, shape.charges, this.#constants)
        return this.#send(shape.made[name], operation, args, [])
      }
    }
    return this.#send(this.#scripts[name], operation, args, [...lists, args.shape.text])
  }

  #send(
    script: LuaScript,
    operation: Operation,
    args: ChargeArguments<FastScripts>,
    more: readonly string[],
  ): Promise<unknown> {
    const run = args.isRebuilt ? this.#options.runOf(operation.owner) : 0
    if (typeof run !== 'number') return run.then((known) => this.#sendTo(known, script, operation, args, more))
    return this.#sendTo(run, script, operation, args, more)
  }

  #sendTo(
    run: number,
    script: LuaScript,
    operation: Operation,
    { keys, lines, numbers }: ChargeArguments<FastScripts>,
    more: readonly string[],
  ): Promise<unknown> {
    const base = baseOf(this.prefix, operation.owner)
    const { client, isOneServer } = this.#options
    const first = operation.id === '' ? `${base}c:` : `${base}h:${operation.id}`
    const all = isOneServer ? [first, ...keys] : [first, ...keys, `${base}c:`]
    const figures = this.#numbers(operation, numbers, run)
    this.#writes.gather()
    return script.run(client, all, [figures, operation.tail ?? '', ...lines, ...more])
  }

  #numbers({ owner, first, second = 0 }: Operation, numbers: string, run: number): string {
    const length = this.prefix.length + owner.length + 3
    const base = isAscii(owner) ? length : Buffer.byteLength(baseOf(this.prefix, owner))
    const opened = this.#openedMs
    return `${run} ${base} ${first} ${numbers} ${second} ${opened} ${this.nowMs()}`
  }

  #heldUnits(figures: readonly (string | number)[]): HeldUnits[] {
    const held: HeldUnits[] = []
    for (let at = 0; at < figures.length; at += 3) {
      const [key, counter, amount] = [String(figures[at]), String(figures[at + 1]), Number(figures[at + 2])]
      const end = key.lastIndexOf('}:c:')
      const owner = key.slice(this.prefix.length + 1, end)
      held.push({ owner, partition: key.slice(end + 4) || owner, counter, amount })
    }
    return held
  }
}

type ListedReply = [id: string, expired: number, made: number, context: string, others: string, ...(string | number)[]]

function ownersIn(others: string): readonly string[] {
  return others === '' || others === PART ? [] : others.split('\n')
}

function isAscii(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- all of ASCII is meant
  return /^[\0-\x7f]*$/.test(text)
}
