import { assertList, assertMembers, assertOneOf, configError } from './config-error.ts'
import { patternMatches } from './condition.ts'
import { digest } from './digest.ts'
import { CompiledPrice, type ModelPrice, type ScaledCost } from './model-price.ts'
import { billionths } from './money.ts'
import { familyOf, namesOfModel } from './model-names.ts'
import { PriceCache } from './price-cache.ts'
import {
  ceiling,
  dearestCard,
  fractionOf,
  wholeNanos,
  type Fraction,
  type MayHave,
  type MostUsed,
} from './rate-card.ts'
import { wholeUnits, type Usage } from './usage.ts'

/** What a price book says. */
export interface PriceBookDefinition {
  /** Names this state of the book in entries, 1 to 64 characters. Default: a digest of it. */
  readonly version?: string | undefined
  /** ISO 4217 code of its currency. Default: `USD`. What providers state of costs is in dollars: other books pass it over. */
  readonly currency?: string | undefined
  /** Whose word counts where the provider states what a call costs: the book's, or its own. Default: `book`. */
  readonly prefer?: 'book' | 'reported' | undefined
  /** Credits for a whole unit of the currency, with up to six decimals. Default: only prices with credits have some. */
  readonly creditsPerUnit?: number | undefined
  readonly prices: readonly ModelPrice[]
}

/** Which call is to be priced. */
export interface PricedCall {
  readonly provider?: string | undefined
  /** As the caller asked for it. */
  readonly model?: string | undefined
  /** As the provider answered: where it has a price, that is the one. */
  readonly responseModel?: string | undefined
  /** When it was admitted, by the clock of the counters. */
  readonly atMs: number
}

/** What becomes of models without a price. */
export type Unpriced = 'refuse' | 'flag' | 'family-max'

/** What a call costs at most, in the units of limits; absent where nobody can tell. */
export interface CostBound {
  readonly cost?: number | undefined
  readonly credits?: number | undefined
}

const MEMBERS = ['version', 'currency', 'prefer', 'creditsPerUnit', 'prices']

/** A price, and where it comes from. */
export interface FoundPrice {
  readonly price: CompiledPrice
  /** The model has none: it is the dearest of its family. */
  readonly isOfFamily: boolean
}

/** Prices of models, and what a call costs by them. Pure: it reads no file and no clock. */
export class PriceBook {
  readonly version: string
  readonly currency: string
  readonly prefer: 'book' | 'reported'
  readonly definition: PriceBookDefinition
  readonly #prices: readonly CompiledPrice[]
  /** Instants at which some price comes into force, in order. */
  readonly #changes: readonly number[]
  /** In thousandths of a thousandth. */
  readonly #creditsPerUnit: bigint | undefined
  readonly #found = new PriceCache()
  readonly #families = new PriceCache()

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy. */
  constructor(definition: PriceBookDefinition, at = 'prices') {
    assertMembers(definition, MEMBERS, at)
    const { version, currency = 'USD', prefer = 'book', creditsPerUnit, prices } = definition
    if (version !== undefined && (typeof version !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(version)))
      throw configError(`${at}.version`, version, 'use 1 to 64 visible characters without spaces')
    if (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency))
      throw configError(`${at}.currency`, currency, 'use a code of ISO 4217, such as USD')
    assertOneOf(prefer, ['book', 'reported'], `${at}.prefer`)
    const perUnit = creditsPerUnit === undefined ? undefined : billionths(creditsPerUnit)
    if (creditsPerUnit !== undefined && (perUnit === undefined || perUnit % 1_000 !== 0))
      throw configError(
        `${at}.creditsPerUnit`,
        creditsPerUnit,
        'use a number from 0 to 4000000 with up to six decimals',
      )
    assertList(prices, 'prices', `${at}.prices`)
    this.definition = definition
    this.version = version ?? digest(JSON.stringify(definition))
    this.currency = currency
    this.prefer = prefer
    this.#creditsPerUnit = perUnit === undefined ? undefined : BigInt(perUnit / 1_000)
    this.#prices = prices.map((price, index) => new CompiledPrice(price, `${at}.prices[${index}]`))
    assertNoTwins(this.#prices, `${at}.prices`)
    const froms = this.#prices.map(({ fromMs }) => fromMs).filter((fromMs) => fromMs !== -Infinity)
    this.#changes = [...new Set(froms)].sort((one, other) => one - other)
  }

  /** Whether it says anything of credits. */
  get hasCredits(): boolean {
    return this.#creditsPerUnit !== undefined || this.#prices.some(({ hasCredits }) => hasCredits)
  }

  /**
   * The price of a call; `undefined` where its model has none.
   *
   * @param unpriced `family-max`: then the dearest rates of the models whose names begin as its own do.
   */
  find(call: PricedCall, unpriced: Unpriced = 'refuse'): FoundPrice | undefined {
    const own = this.#find(call)
    if (own !== undefined) return { price: own, isOfFamily: false }
    if (unpriced !== 'family-max') return undefined
    const family = this.#family(call)
    return family === undefined ? undefined : { price: family, isOfFamily: true }
  }

  /** Whether a price tells a unit of limits: what calls cost, or how many credits they take. */
  tells({ price }: FoundPrice, unit: 'cost' | 'credits'): boolean {
    if (unit === 'cost') return price.hasRates
    return price.hasCredits || (price.hasRates && this.#creditsPerUnit !== undefined)
  }

  /** What a call costs at most. @param tier The class of service that it asks for. */
  bound({ price }: FoundPrice, most: MostUsed, mayHave: MayHave = {}, tier?: string): CostBound {
    const cost = price.costBound(most, mayHave, tier)
    return this.#amounts(cost, price.hasCredits ? price.creditsBound(most, mayHave) : undefined)
  }

  /**
   * A usage with its cost and its credits, and by what they are. Where a cost is stated already, by a handler that knows,
   * that one stays. What nobody knows stays absent, and so does what has no price: then `unpriced` flags it.
   */
  priced(usage: Usage, call: PricedCall, unpriced: Unpriced = 'refuse'): Usage {
    if (usage.costNanos !== undefined) return usage
    const found = this.find(call, unpriced)
    const reported = this.currency === 'USD' ? usage.reportedCostNanos : undefined
    const isFlagged = found === undefined || found.isOfFamily
    const flagged = isFlagged ? { ...usage, flags: withFlag(usage.flags) } : usage
    const ownCredits = found?.price.hasCredits === true ? found.price.credits(usage) : undefined
    if (reported !== undefined && (this.prefer === 'reported' || found === undefined)) {
      const exact = { numerator: BigInt(wholeUnits(reported)), denominator: 1n }
      return costing(flagged, this.#amountsOf(exact, ownCredits), 'reported')
    }
    if (found === undefined) return flagged
    return costing(flagged, this.#amounts(found.price.cost(usage), ownCredits), this.#sourceOf(found))
  }

  /** `2026-11 openai/gpt-4o from 2025-01-01`. */
  #sourceOf({ price, isOfFamily }: FoundPrice): string {
    return `${this.version} ${isOfFamily ? 'family of ' : ''}${price.id}`
  }

  #amounts(cost: ScaledCost | undefined, ownCredits: ScaledCost | undefined): CostBound {
    if (this.#creditsPerUnit === undefined && ownCredits === undefined)
      return cost === undefined ? {} : { cost: wholeNanos(cost.scaled, cost.multiplier) }
    return this.#amountsOf(cost === undefined ? undefined : fractionOf(cost.scaled, cost.multiplier), ownCredits)
  }

  /** Each rounded up once, from the exact amount. */
  #amountsOf(cost: Fraction | undefined, ownCredits: ScaledCost | undefined): CostBound {
    const credits =
      ownCredits === undefined
        ? this.#creditsOf(cost)
        : ceiling(perBillion(fractionOf(ownCredits.scaled, ownCredits.multiplier)))
    return { cost: cost === undefined ? undefined : ceiling(cost), credits }
  }

  #creditsOf(cost: Fraction | undefined): number | undefined {
    if (cost === undefined || this.#creditsPerUnit === undefined) return undefined
    const { numerator, denominator } = cost
    return ceiling(perBillion({ numerator: numerator * this.#creditsPerUnit, denominator: denominator * 1_000_000n }))
  }

  #find({ provider, model, responseModel, atMs }: PricedCall): CompiledPrice | undefined {
    if (model === undefined && responseModel === undefined) return undefined
    return this.#found.get({ provider, model, responseModel, epoch: this.#epochAt(atMs) }, () => {
      const names = [responseModel, model].flatMap((each) => (each === undefined ? [] : namesOfModel(each)))
      return this.#search(provider, [...new Set(names)], atMs)
    })
  }

  #family({ provider, responseModel, model: asked, atMs }: PricedCall): CompiledPrice | undefined {
    const model = responseModel ?? asked
    return this.#families.get({ provider, model, responseModel: undefined, epoch: this.#epochAt(atMs) }, () => {
      const inForce = this.#prices.filter(({ fromMs }) => fromMs <= atMs)
      const ofProvider = inForce.filter((price) => isOf(price, provider) && price.providers.length > 0)
      const members = familyOf(model ?? '', ofProvider.length > 0 ? ofProvider : inForce)
      if (members.length === 0) return undefined
      const id = `${model === undefined ? '' : `${commonName(members)} `}(${members.length})`.trim()
      const card = dearestCard(members.map(({ dearest }) => dearest))
      const own = members.flatMap(({ creditsCard }) => creditsCard ?? [])
      const credits = own.length === 0 ? {} : { credits: dearestCard(own) }
      return new CompiledPrice({ model: '*', ...card, ...credits }, 'family', id)
    })
  }

  /** Between two changes, the same names have the same price. */
  #epochAt(atMs: number): number {
    const changes = this.#changes
    let epoch = changes.length
    while (epoch > 0 && changes[epoch - 1]! > atMs) epoch -= 1
    return epoch
  }

  /** The name itself, the nearest first, before patterns, the longest first; one with a provider, and the latest. */
  #search(provider: string | undefined, names: readonly string[], atMs: number): CompiledPrice | undefined {
    let best: { readonly price: CompiledPrice; readonly rank: readonly number[] } | undefined
    for (const price of this.#prices) {
      if (price.fromMs > atMs || !isOf(price, provider)) continue
      const nearness = nearnessOf(price.models, names)
      if (nearness === undefined) continue
      const rank = [nearness, price.providers.length > 0 ? 1 : 0, price.fromMs]
      if (best === undefined || isHigher(rank, best.rank)) best = { price, rank }
    }
    return best?.price
  }
}

/** More than any pattern is long. */
const EXACT = 1_000_000

/** How well one of the names is met: by itself, the first best; else by the length of a pattern. */
function nearnessOf(models: readonly string[], names: readonly string[]): number | undefined {
  let nearest: number | undefined
  for (const pattern of models)
    for (const [at, name] of names.entries()) {
      if (!patternMatches(pattern, name)) continue
      const nearness = pattern.includes('*') ? pattern.length : EXACT - at
      if (nearness > (nearest ?? -1)) nearest = nearness
    }
  return nearest
}

function isHigher(rank: readonly number[], than: readonly number[]): boolean {
  const at = rank.findIndex((value, index) => value !== than[index])
  return at !== -1 && rank[at]! > than[at]!
}

function isOf({ providers }: CompiledPrice, provider: string | undefined): boolean {
  if (providers.length === 0) return true
  const name = (provider ?? '').trim().toLowerCase()
  return providers.some((pattern) => patternMatches(pattern, name))
}

/** The first members' names, enough to know the family by. */
function commonName(members: readonly CompiledPrice[]): string {
  return members
    .slice(0, 2)
    .map(({ models }) => models[0])
    .join(', ')
}

/** Two prices of the same models from the same instant: nobody could tell which one is meant. */
function assertNoTwins(prices: readonly CompiledPrice[], at: string): void {
  const seen = new Map<string, number>()
  for (const [index, { providers, models, fromMs }] of prices.entries())
    for (const model of models)
      for (const provider of providers.length === 0 ? [''] : providers) {
        const key = `${provider} ${model} ${fromMs}`
        const first = seen.get(key)
        if (first !== undefined && first !== index)
          throw configError(
            `${at}[${index}].model`,
            model,
            `${at}[${first}] has the same from the same day: change one`,
          )
        seen.set(key, index)
      }
}

function perBillion({ numerator, denominator }: Fraction): Fraction {
  return { numerator, denominator: denominator * 1_000_000_000n }
}

function withFlag(flags: Usage['flags']): Usage['flags'] {
  return flags?.includes('unpriced') === true ? flags : [...(flags ?? []), 'unpriced']
}

/** A usage with what it costs, as far as that is known. */
function costing(usage: Usage, { cost, credits }: CostBound, pricedBy: string): Usage {
  if (credits === undefined) return cost === undefined ? usage : { ...usage, costNanos: cost, pricedBy }
  return { ...usage, ...(cost === undefined ? {} : { costNanos: cost }), credits, pricedBy }
}
