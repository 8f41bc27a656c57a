import { configError } from './config-error.ts'
import { billionths } from './money.ts'
import { figuresOf, indexOf, milliseconds, NO_FIGURES, PARTS, TIME, type Figures, type Part } from './price-figures.ts'
import { QuotaError } from './quota-error.ts'
import { MAX_UNITS } from './unit.ts'
import { wholeUnits, type Usage } from './usage.ts'

/**
 * What is asked for each thing, in whole units of the book's currency with up to nine decimals. Tokens: for a million of
 * them. Parts of the input and of the output that have no rate of their own go by that of their whole.
 */
export interface RateCard {
  readonly input?: number | undefined
  readonly output?: number | undefined
  /** Input that was read from a cache. */
  readonly cacheRead?: number | undefined
  /** Input that was written into a cache: for five minutes, or for as long as nobody says. */
  readonly cacheWrite?: number | undefined
  /** Default: as `cacheWrite`. */
  readonly cacheWrite1h?: number | undefined
  readonly audioInput?: number | undefined
  readonly imageInput?: number | undefined
  readonly reasoning?: number | undefined
  readonly audioOutput?: number | undefined
  readonly imageOutput?: number | undefined
  /** For each image that was made. */
  readonly image?: number | undefined
  /** For each second of audio; or `minute`. */
  readonly second?: number | undefined
  readonly minute?: number | undefined
  readonly search?: number | undefined
  /** For each call, beside everything else. */
  readonly call?: number | undefined
}

/** Members of a {@link RateCard}. */
export const RATES = [
  'input',
  'output',
  'cacheRead',
  'cacheWrite',
  'cacheWrite1h',
  'audioInput',
  'imageInput',
  'reasoning',
  'audioOutput',
  'imageOutput',
  'image',
  'second',
  'minute',
  'search',
  'call',
] as const satisfies readonly (keyof RateCard)[]

/** Every rate is a whole number of these parts of a billionth: of a million tokens, and of a minute in milliseconds. */
const SCALE = 3_000_000
const OF_TOKENS = 3
const OF_MILLISECONDS = 50

/** An exact amount of billionths, as a fraction. */
export interface Fraction {
  readonly numerator: bigint
  readonly denominator: bigint
}

/** What a call may use at most, for an estimate. */
export interface MostUsed {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly images?: number | undefined
  readonly seconds?: number | undefined
  readonly searches?: number | undefined
}

/** Parts that a call may have whose rate is dearer than that of their whole. Default: it may. */
export interface MayHave {
  readonly cacheWrites?: boolean
  readonly audio?: boolean
}

/** A card that was checked, as whole numbers. */
export class CompiledCard {
  readonly #rates: readonly (number | undefined)[]
  readonly #exact: readonly bigint[]
  /** The rate of tokens of which nobody knows whether they are input or output. */
  readonly #dearestToken: Part
  /** Of input and of output, with and without writes (1) and audio (2). */
  readonly #dearest: readonly (readonly [input: number, output: number])[]
  /** Whether some part of the input, or of the output, is dearer than its whole: see {@link MayHave}. */
  readonly hasDearerWrites: boolean
  readonly hasDearerAudio: boolean

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a rate that is no amount, or a card that has none. */
  constructor(card: RateCard, at: string, needs: 'a-rate' | 'nothing' = 'a-rate') {
    const scaled = scaledRates(card, at, needs === 'a-rate')
    this.#exact = PARTS.map((part) => scaled[part] ?? 0n)
    this.#rates = PARTS.map((part) => (scaled[part] === undefined ? undefined : Number(scaled[part])))
    this.#dearestToken = (scaled.output ?? -1n) > (scaled.input ?? -1n) ? 'output' : 'input'
    const dearest = (parts: readonly Part[]): number =>
      indexOf(parts.reduce((most, part) => ((scaled[part] ?? 0n) > (scaled[most] ?? 0n) ? part : most)))
    this.#dearest = [0, 1, 2, 3].map((set) => {
      const writes: Part[] = (set & 1) === 0 ? [] : ['cacheWrite', 'cacheWrite1h']
      const [heard, spoken]: [Part[], Part[]] = (set & 2) === 0 ? [[], []] : [['audioInput'], ['audioOutput']]
      return [
        dearest(['input', 'cacheRead', 'imageInput', ...writes, ...heard]),
        dearest(['output', 'reasoning', 'imageOutput', ...spoken]),
      ]
    })
    const over = (part: Part, whole: Part): boolean => (scaled[part] ?? 0n) > (scaled[whole] ?? 0n)
    this.hasDearerWrites = over('cacheWrite', 'input') || over('cacheWrite1h', 'input')
    this.hasDearerAudio = over('audioInput', 'input') || over('audioOutput', 'output')
  }

  /** What a usage costs in `1 / SCALE` of billionths; `undefined` where nothing is known that has a rate. */
  rate(usage: Usage): bigint | number | undefined {
    return this.#sum(figuresOf(usage, this.#dearestToken === 'output'))
  }

  /** Not less than a call can cost that uses no more than this: without discounts of caches, and of parts the dearest. */
  bound(most: MostUsed, mayHave: MayHave): bigint | number | undefined {
    const { cacheWrites = true, audio = true } = mayHave
    const [input, output] = this.#dearest[(cacheWrites ? 1 : 0) + (audio ? 2 : 0)]!
    const figures: (number | undefined)[] = NO_FIGURES.slice()
    figures[input] = most.inputTokens
    figures[output] = most.outputTokens
    figures[TIME] = milliseconds(most.seconds)
    figures[TIME + 1] = most.images
    figures[TIME + 2] = most.searches
    figures[TIME + 3] = 1
    return this.#sum(figures)
  }

  /** In plain numbers as long as they are exact, else in big ones. */
  #sum(figures: Figures): bigint | number | undefined {
    const rates = this.#rates
    let sum = 0
    let isKnown = false
    for (let at = 0; at < figures.length; at += 1) {
      const [rate, figure] = [rates[at], figures[at]]
      if (rate === undefined || figure === undefined) continue
      isKnown = true
      sum += figure * rate
      // A product or a sum that is not exact is not below this bound either. Not a number is neither.
      if (!(sum <= Number.MAX_SAFE_INTEGER)) return this.#exactSum(figures)
    }
    return isKnown ? sum : undefined
  }

  #exactSum(figures: Figures): bigint {
    let sum = 0n
    for (const [at, rate] of this.#exact.entries()) {
      const figure = figures[at]
      if (figure !== undefined && rate > 0n) sum += BigInt(wholeUnits(figure)) * rate
    }
    return sum
  }
}

/** Cards of the dearest rate for each thing among those of several. */
export function dearestCard(cards: readonly RateCard[]): RateCard {
  const dearest: Partial<Record<(typeof RATES)[number], number>> = {}
  for (const card of cards.map(inMinutes).map(withDefaults))
    for (const rate of RATES) {
      const asked = card[rate]
      if (asked !== undefined && asked > (dearest[rate] ?? -1)) dearest[rate] = asked
    }
  return dearest
}

function inMinutes({ second, ...card }: RateCard): RateCard {
  return second === undefined ? card : { ...card, minute: Number((second * 60).toFixed(9)) }
}

/** An exact cost. @param multiplier In millionths. */
export function fractionOf(scaled: bigint | number, multiplier: number): Fraction {
  return { numerator: BigInt(scaled) * BigInt(multiplier), denominator: BigInt(SCALE) * 1_000_000n }
}

/** Whole billionths of an exact cost, rounded up, at most {@link MAX_UNITS}. @param multiplier In millionths. */
export function wholeNanos(scaled: bigint | number, multiplier: number): number {
  if (typeof scaled === 'number' && multiplier === 1_000_000) {
    const rest = scaled % SCALE
    return Math.min((scaled - rest) / SCALE + (rest > 0 ? 1 : 0), MAX_UNITS)
  }
  return ceiling(fractionOf(scaled, multiplier))
}

/** Rounded up to a whole number, at most {@link MAX_UNITS}. */
export function ceiling({ numerator, denominator }: Fraction): number {
  const whole = (numerator + denominator - 1n) / denominator
  return whole > BigInt(MAX_UNITS) ? MAX_UNITS : Number(whole)
}

/** Rates as whole numbers; parts without a rate have that of their whole. */
function scaledRates(card: RateCard, at: string, needsOne: boolean): Partial<Record<Part, bigint>> {
  const rates: Partial<Record<(typeof RATES)[number], bigint>> = {}
  for (const name of RATES) {
    const asked = card[name]
    if (asked === undefined) continue
    const nanos = billionths(asked)
    if (nanos === undefined)
      throw configError(`${at}.${name}`, asked, 'use a number from 0 to 4000000 with up to nine decimals')
    rates[name] = BigInt(nanos)
  }
  if (needsOne && Object.keys(rates).length === 0)
    throw new QuotaError('ERR_QUOTA_CONFIG', `${at} has no rate: use at least one of ${RATES.join(', ')}`)
  if (rates.second !== undefined && rates.minute !== undefined)
    throw configError(`${at}.minute`, card.minute, 'second is given as well: leave one of them out')
  const complete = withDefaults(rates)
  const scaled: Partial<Record<Part, bigint>> = {}
  for (const part of PARTS.slice(0, indexOf('time'))) {
    const rate = complete[part as keyof typeof complete]
    if (rate !== undefined) scaled[part] = rate * BigInt(OF_TOKENS)
  }
  const minute = rates.minute ?? (rates.second === undefined ? undefined : rates.second * 60n)
  if (minute !== undefined) scaled.time = minute * BigInt(OF_MILLISECONDS)
  for (const part of ['image', 'search', 'call'] as const)
    if (rates[part] !== undefined) scaled[part] = rates[part] * BigInt(SCALE)
  return scaled
}

function withDefaults<T>(rates: Partial<Readonly<Record<(typeof RATES)[number], T>>>): typeof rates {
  const { input, output, cacheWrite = input } = rates
  const {
    cacheRead = input,
    cacheWrite1h = cacheWrite,
    audioInput = input,
    imageInput = input,
    reasoning = output,
    audioOutput = output,
    imageOutput = output,
  } = rates
  const parts = { cacheRead, cacheWrite, cacheWrite1h, audioInput, imageInput, reasoning, audioOutput, imageOutput }
  return { ...rates, ...(parts as Partial<Record<keyof typeof parts, T>>) }
}
