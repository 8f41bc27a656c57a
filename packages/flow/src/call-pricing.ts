import {
  PRICED_UNITS,
  type Amounts,
  type BoundLimit,
  type FoundPrice,
  type MayHave,
  type PriceBook,
  type PricedCall,
  type Unpriced,
  type Usage,
} from '@tallygate/core'
import type { MeteredRequest } from './metered-request.ts'

/** What is taken for what a call may use where its request does not say, and its model is charged for it. */
export interface UnitEstimates {
  /** Of audio. Default: 60. */
  readonly seconds?: number
  /** Default: 1. */
  readonly images?: number
  /** Default: 1 where an operation is billed by them, such as reranking, else 0. */
  readonly searches?: number
}

/** Members of requests by which something is written into a cache, and content that is audio. */
const CACHE_WORDS = ['cache_control', 'cachePoint']
const AUDIO_WORDS = ['audio', 'AUDIO', 'fileUri', 'file_uri']
/** Letters that are escaped, as no client does: any word can be written so. */
const ESCAPED_LETTERS = ['\\u004', '\\u005', '\\u006', '\\u007']

/** What a call may cost at most, and what it has cost, by the price book that was in force when it began. */
export class CallPricing {
  readonly #book: PriceBook | undefined
  readonly #request: MeteredRequest
  readonly #estimates: UnitEstimates
  /** What limits that were decided on want of models without a price. */
  #unpriced: Unpriced | undefined
  /** As reports name it; before it is known, as its operation does. */
  provider: string | undefined
  /** The call comes after another one in its session. */
  isLater = false

  constructor(book: PriceBook | undefined, request: MeteredRequest, estimates: UnitEstimates) {
    this.#book = book
    this.#request = request
    this.#estimates = estimates
    this.provider = request.match?.adapter.provider
  }

  /** ISO 4217 code of what cost is counted in. */
  get currency(): string {
    return this.#book?.currency ?? 'USD'
  }

  /** Why a call must not go on under limits: they count what it costs, and nobody knows that. `undefined`: it may. */
  refusal(bound: readonly BoundLimit[], atMs: number): string | undefined {
    const policy = policyOf(bound)
    this.#unpriced = policy ?? this.#unpriced
    const { match, facts } = this.#request
    if (policy === undefined || policy === 'flag' || match === undefined || !this.#isKnown) return undefined
    const found = this.#find(policy, atMs)
    if (found !== undefined && unitsOf(bound).every((unit) => this.#book!.tells(found, unit))) return undefined
    const model = facts.model === undefined ? 'A call without a model' : `The model ${JSON.stringify(facts.model)}`
    return `${model} has no price here, and your quota counts what calls cost. Use a model that has one, or ask for a price to be set.`
  }

  /** An estimate with what the call can cost at most, where limits count that, and with the units that its request states. */
  amounts(bound: readonly BoundLimit[], estimated: Amounts, atMs: number): Amounts {
    const stated = this.#withUnits(estimated)
    const policy = policyOf(bound)
    if (policy === undefined || !this.#isKnown) return stated
    const found = this.#find(policy, atMs)
    return found === undefined ? stated : { ...stated, ...this.#bound(found, stated) }
  }

  /** A usage with what it costs, where there is a price book. */
  priced(usage: Usage, call: Omit<PricedCall, 'provider'> & { readonly provider: string | undefined }): Usage {
    return this.#book === undefined ? usage : this.#book.priced(usage, call, this.#unpriced ?? 'flag')
  }

  /** With the units that the request states; of those that its operation is billed by and does not state, an estimate. */
  #withUnits(estimated: Amounts): Amounts {
    const { match, facts } = this.#request
    const bills: readonly string[] = match?.adapter.bills ?? []
    const isOfTokens = bills.length === 1 && bills[0] === 'tokens'
    if (isOfTokens && (facts.seconds ?? facts.images ?? facts.searches) === undefined) return estimated
    const { seconds = 60, images = 1, searches = 1 } = this.#estimates
    const units = {
      seconds: facts.seconds ?? (bills.includes('seconds') ? seconds : undefined),
      images: facts.images ?? (bills.includes('images') ? images : undefined),
      searches: facts.searches ?? (bills.includes('searches') ? searches : undefined),
    }
    return { ...estimated, ...defined(units) }
  }

  #bound(found: FoundPrice, amounts: Amounts): Amounts {
    const { price } = found
    const { seconds = 60, images = 1, searches = 0 } = this.#estimates
    const most = {
      inputTokens: amounts['input-tokens'] ?? 0,
      outputTokens: amounts['output-tokens'] ?? 0,
      images: amounts.images ?? images,
      seconds: amounts.seconds ?? seconds,
      searches: amounts.searches ?? searches,
    }
    // A look at the whole body, only where it matters.
    const mayHave: MayHave = {
      cacheWrites: price.hasDearerWrites && this.#mentions(CACHE_WORDS),
      audio: price.hasDearerAudio && this.#mentions(AUDIO_WORDS),
    }
    return defined(this.#book!.bound(found, most, mayHave, this.#request.facts.serviceTier))
  }

  /** Whether the request says what it wants: it was read, or is of a session that has named its model, or had the time to. */
  get #isKnown(): boolean {
    const { isRead, isSession, facts } = this.#request
    return isRead || (isSession && (this.isLater || facts.model !== undefined))
  }

  #mentions(words: readonly string[]): boolean {
    const { body } = this.#request
    return body === undefined || [...words, ...ESCAPED_LETTERS].some((word) => body.includes(word))
  }

  #find(policy: Unpriced, atMs: number): FoundPrice | undefined {
    const { provider } = this
    return this.#book?.find({ provider, model: this.#request.facts.model, atMs }, policy)
  }
}

function unitsOf(bound: readonly BoundLimit[]): readonly ('cost' | 'credits')[] {
  const units = bound.map(({ limit }) => limit.definition.unit)
  return (['cost', 'credits'] as const).filter((unit) => units.includes(unit))
}

/** The strictest of what plans want whose limits count cost; `undefined` where none does. */
function policyOf(bound: readonly BoundLimit[]): Unpriced | undefined {
  let policy: Unpriced | undefined
  for (const { limit, plan } of bound) {
    const { unit, mode, onTrip } = limit.definition
    if (!PRICED_UNITS.has(unit)) continue
    // What refuses nothing else does not refuse this either.
    const isStrict = plan.unpriced !== 'refuse' || (mode === 'enforce' && onTrip === 'refuse')
    const own = isStrict ? plan.unpriced : 'flag'
    if (own === 'refuse') return own
    if (policy !== 'family-max') policy = own
  }
  return policy
}

function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never
}
