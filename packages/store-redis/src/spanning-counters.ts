import type {
  Charge,
  CounterStatus,
  HeldUnits,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SeedRequest,
  SettleOutcome,
  SettleRequest,
} from '@tallygate/core'
import { PART, type CounterScripts, type KnownHold, type ListedHold } from './counter-scripts.ts'
import { joinFences } from './seed-fence.ts'

/** What one owner has of a request: charges, and their indices in it. */
interface Part {
  readonly owner: string
  readonly charges: Charge[]
  readonly indices: number[]
}

type Decided = Extract<ReserveReply, { outcome: 'granted' | 'refused' }>

/**
 * Operations on counters of several owners of a Cluster: one script an owner, always in the order of their names. A
 * decision that an owner does not grant takes back what those before it have granted; the hold of each expires by itself
 * if this process dies in between. The owner that the call is under remembers who else holds something for it.
 */
export class SpanningCounters {
  readonly #scripts: CounterScripts

  constructor(scripts: CounterScripts) {
    this.#scripts = scripts
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const parts = partsOf(request.owner, request.charges)
    const made: string[] = []
    try {
      const reply = await this.#reserveParts(request, parts, made)
      if (reply.outcome !== 'granted') await this.#withdraw(request.id, made)
      return reply
    } catch (error) {
      await this.#withdraw(request.id, made).catch(() => {})
      throw error
    }
  }

  async extend(request: ReserveRequest): Promise<void> {
    const parts = partsOf(request.owner, request.charges)
    const [main, ...others] = mainFirst(request.owner, parts)
    if (!(await this.#scripts.extend(ofPart(request, main!), othersOf(request, main!, parts)))) return
    await Promise.all(others.map((part) => this.#scripts.extend(ofPart(request, part), PART)))
  }

  /**
   * The owner that the call is under goes first, and says what the outcome is. Where it had settled before, a process may
   * have died before the others had: those that still hold something settle it now.
   */
  async settle(request: SettleRequest): Promise<SettleOutcome> {
    const charges = request.charges.map(({ charge }) => charge)
    const [main, ...others] = mainFirst(request.owner, partsOf(request.owner, charges))
    const ofOwner = ({ owner, indices }: Part): SettleRequest => {
      return { ...request, owner, charges: indices.map((index) => request.charges[index]!) }
    }
    const outcome = await this.#scripts.settle(ofOwner(main!))
    const what = outcome === 'closed' ? 'if-held' : 'always'
    await Promise.all(others.map((part) => this.#scripts.settle(ofOwner(part), what)))
    return outcome
  }

  /** Where a reservation is, with what all its owners hold. */
  async holdState(id: string, owner: string): Promise<HoldState | undefined> {
    const found = await this.#scripts.holdState(id, owner)
    if (found === undefined || !('held' in found.state)) return found?.state
    const others = await this.#atOthers(id, found.others)
    const held = others.flatMap(({ state }) => ('held' in state ? state.held : []))
    return { ...found.state, held: [...found.state.held, ...held] }
  }

  /** What other owners keep for an expired hold. Theirs expires at the same time, and is not listed by itself. */
  async keptOf({ id, kept, others }: ListedHold): Promise<readonly HeldUnits[]> {
    for (const owner of others) await this.#scripts.sweepOwner(owner, 8)
    return [...kept, ...(await this.#atOthers(id, others)).flatMap((known) => known.kept)]
  }

  async seed(request: SeedRequest): Promise<boolean> {
    const parts = partsOf(
      request.owner,
      request.counters.map(({ charge }) => charge),
    )
    const seeded = await Promise.all(
      parts.map(({ owner, indices }) => {
        const counters = indices.map((index) => request.counters[index]!)
        return this.#scripts.seed({ ...request, owner, counters })
      }),
    )
    return seeded.every(Boolean)
  }

  async read(charges: readonly Charge[]): Promise<ReadReply> {
    const parts = partsOf(charges[0]!.counter.owner, charges)
    const replies = await Promise.all(parts.map((part) => this.#scripts.read(part.owner, part.charges)))
    return {
      nowMs: latest(replies),
      statuses: inOrder(parts, replies),
      unknown: unknownIn(parts, replies),
      fence: fenceOf(replies),
    }
  }

  /** @param made Owners that have a hold for the request that they had not before. */
  async #reserveParts(request: ReserveRequest, parts: readonly Part[], made: string[]): Promise<ReserveReply> {
    const replies: Decided[] = []
    let isRepeat = false
    for (const [at, part] of parts.entries()) {
      const softened = { ...part, charges: part.charges.map(softenedAlternative) }
      const figures = await this.#scripts.reserve(ofPart(request, softened), othersOf(request, part, parts))
      const reply = this.#scripts.replyOf(figures, softened.charges)
      if (reply.outcome === 'stale' || reply.outcome === 'closed') return reply
      if (reply.outcome === 'unknown') return this.#unknown(reply, parts, at)
      if (this.#scripts.isNew(figures)) made.push(part.owner)
      else if (reply.outcome === 'granted') isRepeat = true
      replies.push(reply)
      if (reply.outcome === 'refused') return this.#refused(request, parts, replies, made)
    }
    const statuses = inOrder(parts, replies)
    if (!isRepeat && refusesTogether(request.charges, statuses)) return this.#refused(request, parts, replies, made)
    return { outcome: 'granted', nowMs: latest(replies), statuses }
  }

  /** A refusal tells where all stand: also those that were not asked any more, and without what is taken back. */
  async #refused(
    { id, owner: main }: ReserveRequest,
    parts: readonly Part[],
    asked: readonly Decided[],
    made: readonly string[],
  ): Promise<ReserveReply> {
    const rest = parts.slice(asked.length)
    const [read, known] = await Promise.all([
      this.#look(rest),
      // Only the owner that the call is under remembers that it is over.
      rest.some(({ owner }) => owner === main) ? this.#scripts.holdState(id, main) : undefined,
    ])
    const nowMs = latest([...asked, ...read])
    if (read.some(({ isStale }) => isStale)) return { outcome: 'stale', nowMs }
    if (known !== undefined && known.state.state !== 'reserved') return { outcome: 'closed', nowMs }
    const unknown = unknownIn(parts.slice(asked.length), read)
    if (unknown.length > 0) return { outcome: 'unknown', nowMs, unknown, fence: fenceOf(read) }
    const before = asked.map((reply, at) => {
      const { owner, charges } = parts[at]!
      if (!made.includes(owner)) return reply
      return { ...reply, statuses: reply.statuses.map((status, index) => without(status, charges[index]!.amount)) }
    })
    return { outcome: 'refused', nowMs, statuses: inOrder(parts, [...before, ...read]) }
  }

  /** Also what is unknown of those that were not asked any more, so that all can be seeded at once. */
  async #unknown(
    reply: Extract<ReserveReply, { outcome: 'unknown' }>,
    parts: readonly Part[],
    at: number,
  ): Promise<ReserveReply> {
    const read = await this.#look(parts.slice(at + 1))
    const nowMs = latest([reply, ...read])
    if (read.some(({ isStale }) => isStale)) return { outcome: 'stale', nowMs }
    const unknown = unknownIn(parts.slice(at), [reply, ...read])
    return { outcome: 'unknown', nowMs, unknown, fence: fenceOf([reply, ...read]) }
  }

  #look(parts: readonly Part[]): Promise<readonly (ReadReply & { readonly isStale: boolean })[]> {
    return Promise.all(parts.map((part) => this.#scripts.look(part.owner, part.charges)))
  }

  async #withdraw(id: string, owners: readonly string[]): Promise<void> {
    await Promise.all(owners.map((owner) => this.#scripts.release(id, owner, 'withdraw')))
  }

  async #atOthers(id: string, owners: readonly string[]): Promise<readonly KnownHold[]> {
    const known = await Promise.all(owners.map((owner) => this.#scripts.holdState(id, owner)))
    return known.filter((each) => each !== undefined)
  }
}

/** Whether charges are all of this owner. */
export function isOwnedBy(owner: string, charges: readonly Charge[]): boolean {
  for (const { counter } of charges) if (counter.owner !== owner) return false
  return true
}

function partsOf(owner: string, charges: readonly Charge[]): readonly Part[] {
  const parts = new Map<string, Part>([[owner, { owner, charges: [], indices: [] }]])
  for (const [index, charge] of charges.entries()) {
    const part = parts.get(charge.counter.owner) ?? { owner: charge.counter.owner, charges: [], indices: [] }
    part.charges.push(charge)
    part.indices.push(index)
    parts.set(part.owner, part)
  }
  return [...parts.values()].sort((one, other) => (one.owner < other.owner ? -1 : 1))
}

function mainFirst(main: string, parts: readonly Part[]): readonly Part[] {
  return parts.toSorted((one, other) => Number(other.owner === main) - Number(one.owner === main))
}

function ofPart(request: ReserveRequest, { owner, charges }: Part): ReserveRequest {
  return { ...request, owner, charges, context: owner === request.owner ? request.context : '' }
}

function othersOf(request: ReserveRequest, { owner }: Part, parts: readonly Part[]): string {
  if (owner !== request.owner) return PART
  return parts.flatMap((part) => (part.owner === owner ? [] : [part.owner])).join('\n')
}

/** One owner can't know whether another alternative has room: it charges all, and the node decides. */
function softenedAlternative(charge: Charge): Charge {
  return charge.alternative === 0 ? charge : { ...charge, effect: 'flag' }
}

function refusesTogether(charges: readonly Charge[], statuses: readonly CounterStatus[]): boolean {
  const alternatives = new Set(charges.flatMap(({ alternative }) => (alternative === 0 ? [] : [alternative])))
  const isFull = (alternative: number): boolean =>
    charges.some((each, at) => each.alternative === alternative && each.effect === 'refuse' && statuses[at]!.tripped)
  return alternatives.size > 0 && [...alternatives].every(isFull)
}

function without(status: CounterStatus, amount: number): CounterStatus {
  return { ...status, used: status.used - amount }
}

function latest(replies: readonly { readonly nowMs: number }[]): number {
  return Math.max(...replies.map(({ nowMs }) => nowMs))
}

function fenceOf(replies: readonly { readonly fence: string }[]): string {
  return joinFences(replies.map(({ fence }) => fence))
}

function inOrder(
  parts: readonly Part[],
  replies: readonly { readonly statuses: readonly CounterStatus[] }[],
): readonly CounterStatus[] {
  const statuses: CounterStatus[] = []
  for (const [at, { indices }] of parts.entries()) {
    for (const [place, index] of indices.entries()) statuses[index] = replies[at]!.statuses[place]!
  }
  return statuses
}

function unknownIn(parts: readonly Part[], replies: readonly { readonly unknown: readonly number[] }[]): number[] {
  const unknown = replies.flatMap((reply, at) => reply.unknown.map((place) => parts[at]!.indices[place]!))
  return unknown.sort((one, other) => one - other)
}
