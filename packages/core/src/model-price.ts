import { assertList, assertMembers, configError } from './config-error.ts'
import { CompiledCard, dearestCard, RATES, type MayHave, type MostUsed, type RateCard } from './rate-card.ts'
import type { Usage } from './usage.ts'

/** Rates of calls whose input, cached included, has more tokens than this: then they are for the whole call. */
export interface LongContext extends RateCard {
  /** Tokens of input, from 0. */
  readonly above: number
}

/** A class of service: what of it is dearer or cheaper, or by how much all of it is. */
export interface ServiceTier extends RateCard {
  /** What the whole call is multiplied by, from 0 to 1,000, with up to six decimals. Default: 1. */
  readonly multiplier?: number | undefined
  readonly longContext?: LongContext | readonly LongContext[] | undefined
}

/** What models cost. Rates that a tier or a long context does not state are those of the price. */
export interface ModelPrice extends RateCard {
  /** Patterns of providers' names, as OpenTelemetry has them; `*` stands for any characters. Default: any provider. */
  readonly provider?: string | readonly string[] | undefined
  /** Patterns of models' names. A name without `*` is also that of its snapshots, such as `…-2025-08-07`. */
  readonly model: string | readonly string[]
  /** Date, or instant, from which it is in force, until the next of the same model. Default: always. */
  readonly from?: string | undefined
  readonly longContext?: LongContext | readonly LongContext[] | undefined
  /** By the name that the provider has for them, in lower case: `batch`, `flex`, `priority`. Others cost as the price says. */
  readonly tiers?: Readonly<Record<string, ServiceTier>> | undefined
  /** What is counted as `credits`, in place of what the book says of credits. */
  readonly credits?: RateCard | undefined
}

const MEMBERS = ['provider', 'model', 'from', 'longContext', 'tiers', 'credits', ...RATES]
const MILLION = 1_000_000
const MOST_MULTIPLIER = 1_000
const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?Z)?$/

/** A cost in parts that {@link wholeNanos} and {@link fractionOf} make whole; `undefined` where nobody knows. */
export interface ScaledCost {
  readonly scaled: bigint | number
  /** In millionths. */
  readonly multiplier: number
}

interface Tier {
  readonly card: CompiledCard
  /** From the highest threshold. */
  readonly long: readonly { readonly above: number; readonly card: CompiledCard }[]
  readonly multiplier: number
}

/** A price that was checked. */
export class CompiledPrice {
  /** In lower case. */
  readonly providers: readonly string[]
  readonly models: readonly string[]
  readonly fromMs: number
  /** What stands in entries: provider, model and first day, as the book writes them. */
  readonly id: string
  /** Rates of a standard call, whatever its length: the dearest. */
  readonly dearest: RateCard
  /** Rates in credits, where it has some of its own. */
  readonly creditsCard: RateCard | undefined
  /** Whether it says what a call costs, and not only how many credits. */
  readonly hasRates: boolean
  readonly #base: Tier
  readonly #tiers: ReadonlyMap<string, Tier>
  readonly #credits: CompiledCard | undefined

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy. */
  constructor(price: ModelPrice, at: string, id?: string) {
    assertMembers(price, MEMBERS, at)
    const { provider, model, from, longContext, tiers = {}, credits } = price
    this.providers = provider === undefined ? [] : namesOf(provider, `${at}.provider`)
    this.models = namesOf(model, `${at}.model`)
    this.fromMs = from === undefined ? -Infinity : instant(from, `${at}.from`)
    const [first = '*'] = this.providers
    this.id =
      id ?? `${provider === undefined ? '' : `${first}/`}${this.models[0]}${from === undefined ? '' : ` from ${from}`}`
    const card = ratesOf(price)
    this.hasRates = Object.keys(card).length > 0
    const long = longOf(longContext, `${at}.longContext`)
    const needs = credits === undefined ? 'a-rate' : 'nothing'
    this.#base = tierOf({ card, long, multiplier: MILLION, needs }, at)
    this.dearest = dearestCard([card, ...long.map((each) => ({ ...card, ...ratesOf(each) }))])
    assertMembers(tiers, Object.keys(Object(tiers) as object), `${at}.tiers`)
    this.#tiers = new Map(
      Object.entries(tiers).map(([name, tier]) => [
        name.toLowerCase(),
        serviceTier(tier, { card, long, needs }, `${at}.tiers.${name}`),
      ]),
    )
    if (credits !== undefined) assertMembers(credits, RATES, `${at}.credits`)
    this.creditsCard = credits
    this.#credits = credits === undefined ? undefined : new CompiledCard(credits, `${at}.credits`)
  }

  /** Whether it says itself how many credits a call costs. */
  get hasCredits(): boolean {
    return this.#credits !== undefined
  }

  /** Whether writes into caches, or audio, are dearer than the rest: see {@link MayHave}. */
  get hasDearerWrites(): boolean {
    return this.#base.card.hasDearerWrites
  }

  get hasDearerAudio(): boolean {
    return this.#base.card.hasDearerAudio
  }

  /** What a usage costs. */
  cost(usage: Usage): ScaledCost | undefined {
    const { card, long, multiplier } = this.#tier(usage.serviceTier)
    const input = usage.inputTokens ?? usage.totalTokens ?? 0
    return scaledCost((long.find(({ above }) => input > above)?.card ?? card).rate(usage), multiplier)
  }

  /**
   * Not less than a call can cost that uses no more than this.
   *
   * @param tier That it asks for. A provider that has none, or no room in it, serves the call as any other: what is
   *   cheaper counts only when it is billed.
   */
  costBound(most: MostUsed, mayHave: MayHave, tier?: string): ScaledCost | undefined {
    const asked = this.#tier(tier)
    const usual = boundOf(this.#base, most, mayHave)
    return asked === this.#base ? usual : dearer(usual, boundOf(asked, most, mayHave))
  }

  /** Credits of a usage, in the scale of a cost; `undefined` where it does not say. */
  credits(usage: Usage): ScaledCost | undefined {
    return scaledCost(this.#credits?.rate(usage), MILLION)
  }

  creditsBound(most: MostUsed, mayHave: MayHave): ScaledCost | undefined {
    return scaledCost(this.#credits?.bound(most, mayHave), MILLION)
  }

  #tier(name: string | undefined): Tier {
    return (
      (name === undefined || this.#tiers.size === 0 ? undefined : this.#tiers.get(name.toLowerCase())) ?? this.#base
    )
  }
}

function boundOf({ card, long, multiplier }: Tier, most: MostUsed, mayHave: MayHave): ScaledCost | undefined {
  const cards = [card, ...long.filter(({ above }) => most.inputTokens > above).map((each) => each.card)]
  const bounds = cards.flatMap((each) => each.bound(most, mayHave) ?? [])
  if (bounds.length === 0) return undefined
  return scaledCost(
    bounds.reduce((dearest, bound) => (bound > dearest ? bound : dearest)),
    multiplier,
  )
}

function dearer(one: ScaledCost | undefined, other: ScaledCost | undefined): ScaledCost | undefined {
  if (one === undefined || other === undefined) return one ?? other
  const exact = ({ scaled, multiplier }: ScaledCost): bigint => BigInt(scaled) * BigInt(multiplier)
  return exact(other) > exact(one) ? other : one
}

function scaledCost(scaled: bigint | number | undefined, multiplier: number): ScaledCost | undefined {
  return scaled === undefined ? undefined : { scaled, multiplier }
}

interface TierParts {
  readonly card: RateCard
  readonly long: readonly LongContext[]
  readonly multiplier: number
  readonly needs: 'a-rate' | 'nothing'
}

function serviceTier(tier: ServiceTier, base: Omit<TierParts, 'multiplier'>, at: string): Tier {
  assertMembers(tier, ['multiplier', 'longContext', ...RATES], at)
  const own = ratesOf(tier)
  // A tier of its own rates has them also where the context is long, unless it says otherwise.
  const long =
    tier.longContext === undefined
      ? base.long.map((each) => ({ ...each, ...own }))
      : longOf(tier.longContext, `${at}.longContext`)
  return tierOf({ ...base, card: { ...base.card, ...own }, long, multiplier: multiplierOf(tier, at) }, at)
}

function tierOf({ card, long, multiplier, needs }: TierParts, at: string): Tier {
  const cards = long.map((each, index) => ({
    above: each.above,
    card: new CompiledCard({ ...card, ...ratesOf(each) }, `${at}.longContext[${index}]`, needs),
  }))
  return {
    card: new CompiledCard(card, at, needs),
    long: cards.sort((one, other) => other.above - one.above),
    multiplier,
  }
}

function multiplierOf({ multiplier = 1 }: ServiceTier, at: string): number {
  const millionths = typeof multiplier === 'number' ? Math.round(multiplier * MILLION) : Number.NaN
  if (!(multiplier >= 0 && multiplier <= MOST_MULTIPLIER) || millionths / MILLION !== multiplier)
    throw configError(
      `${at}.multiplier`,
      multiplier,
      `use a number from 0 to ${MOST_MULTIPLIER} with up to six decimals`,
    )
  return millionths
}

function longOf(long: ModelPrice['longContext'], at: string): readonly LongContext[] {
  if (long === undefined) return []
  const list: readonly LongContext[] = Array.isArray(long) ? long : [long as LongContext]
  for (const [index, each] of list.entries()) {
    const place = Array.isArray(long) ? `${at}[${index}]` : at
    assertMembers(each, ['above', ...RATES], place)
    if (!Number.isSafeInteger(each.above) || each.above < 0)
      throw configError(`${place}.above`, each.above, 'use a whole number of tokens from 0')
  }
  return list
}

/** Rates that are stated. */
function ratesOf(card: RateCard): RateCard {
  return Object.fromEntries(RATES.flatMap((rate) => (card[rate] === undefined ? [] : [[rate, card[rate]]])))
}

function namesOf(names: string | readonly string[], at: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(names) ? names : [names]
  assertList(list, 'names', at)
  if (list.length === 0) throw configError(at, names, 'use a name, or a list of names')
  return list.map((name) => {
    if (typeof name !== 'string' || name.trim() === '')
      throw configError(at, name, 'use a name, such as gpt-4o or gpt-4o*')
    return name.trim().toLowerCase()
  })
}

/** Milliseconds of a date, at its beginning in UTC, or of an instant. */
function instant(from: unknown, at: string): number {
  const ms = typeof from === 'string' && DATE.test(from) ? Date.parse(from) : Number.NaN
  // `Date.parse` takes a 30th of February for a day in March.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== String(from).slice(0, 10))
    throw configError(at, from, 'use a date such as 2026-01-31, or an instant such as 2026-01-31T12:00:00Z')
  return ms
}
