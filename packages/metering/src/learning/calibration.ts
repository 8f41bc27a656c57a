import { isSample, MAX_UNITS, wholeUnits, type CalibrationSample, type CalibrationSeries } from '@tallygate/core'
import { joinedNames, RecentSeries, type Recent } from './recent-series.ts'
import { fitKindOf, foretold, median, pointsOf, type FitKind, type Point } from './sample-fit.ts'

/** What calls have in common whose counts are off by the same. */
export interface CalibrationKey {
  readonly provider: string
  readonly model: string | undefined
  /** What was counted. */
  readonly part: 'prompt' | 'completion'
  /** What the request is made of, as {@link requestKind} says: tools, histories and schemas are off by more than text. */
  readonly kind: string
  /** Whose calls they are. Default: there is only one. */
  readonly tenant?: string | undefined
}

/** A count, put right by what was learned. */
export interface CalibratedCount {
  /** The best guess: the count itself where nothing was learned. */
  readonly tokens: number
  /** What nine of ten such calls do not exceed; absent where too little was learned to tell. */
  readonly upper: number | undefined
  /** Calls that it was learned from. */
  readonly samples: number
}

export interface CalibrationOptions {
  /** Combinations of tenant, provider, model, part and kind that are kept: those used last. Default: 3,000. */
  readonly mostSeries?: number
}

/** What is worked out of a series at the first question since its last sample. */
interface Learned {
  readonly points: readonly Point[]
  readonly kind: FitKind
  /** How many times what the others foretell each sample was, in ascending order. */
  readonly ratios: readonly number[]
}

/** From so many calls on a count is put right. */
const LEAST_SAMPLES = 5
/** From so many calls of one count on, what was reported of them goes before what the others foretell. */
const LEAST_ALIKE = 2
/** With fewer samples than that, the highest is not yet what nine of ten stay below. */
const ENOUGH_FOR_UPPER = 9
const UPPER_SHARE = 0.9
const FEW_SAMPLES_MARGIN = 1.25

/** How far what was learned may take a count: so many times as much or as little, and so many tokens beside. */
interface Reach {
  readonly times: number
  readonly more: number
}
/** No tokenizer differs from another by more, and no preamble that nobody knows of is longer. */
const OF_OWN: Reach = { times: 4, more: 4_096 }
/** Others may have sent what was made to be counted wrong. */
const OF_OTHERS: Reach = { times: 2, more: 1_024 }

/**
 * Learns by how much our own counts are off what providers report, for each provider, model and kind of request. Goes by
 * the latest 64 calls, by medians, so that one strange call changes nothing and a new tokenizer is followed soon. A tenant
 * goes by its own calls, until it has five by those of all, which take its counts less far.
 */
export class Calibration {
  readonly #series: RecentSeries<Learned>

  constructor({ mostSeries = 3_000 }: CalibrationOptions = {}) {
    this.#series = new RecentSeries(mostSeries)
  }

  /** Calls that were learned from. */
  samples(key: CalibrationKey): number {
    return this.#series.get(seriesName(key))?.samples.length ?? 0
  }

  /** @param counted Tokens by the static rules, before any calibration. */
  estimate(key: CalibrationKey, counted: number): CalibratedCount {
    const own = this.#series.get(seriesName(key))
    const isOwn = key.tenant === undefined || (own?.samples.length ?? 0) >= LEAST_SAMPLES
    const series = isOwn ? own : this.#series.get(seriesName(ofAll(key)))
    const raw = wholeUnits(counted)
    if (series === undefined || series.samples.length < LEAST_SAMPLES)
      return { tokens: raw, upper: undefined, samples: series?.samples.length ?? 0 }
    const { tokens, upper } = learnedEstimate(series, raw)
    const { times, more } = isOwn ? OF_OWN : OF_OTHERS
    const within = (figure: number): number => Math.min(Math.max(figure, Math.ceil(raw / times)), raw * times + more)
    const most = wholeUnits(within(upper))
    return {
      tokens: wholeUnits(within(tokens)),
      // What others have sent never has less set aside than was counted.
      upper: isOwn ? most : Math.max(most, raw),
      samples: series.samples.length,
    }
  }

  /**
   * Takes what one call was counted and reported as. Returns what a store is to keep.
   *
   * @param counted As in {@link estimate}. What is no whole number from 0, or 0, teaches nothing.
   */
  observe(key: CalibrationKey, counted: number, reported: number, atMs: number): readonly CalibrationSeries[] {
    const sample = { counted: Math.round(counted), reported, atMs: Math.floor(atMs) }
    if (!isSample(sample) || sample.counted === 0 || reported === 0 || reported > MAX_UNITS) return []
    const keys = key.tenant === undefined ? [key] : [key, ofAll(key)]
    return keys.map((of) => {
      const name = seriesName(of)
      this.#series.add(name, sample)
      return { name, samples: [sample] }
    })
  }

  /** Takes what a store has kept. */
  seed(series: CalibrationSeries): void {
    this.#series.seed(series)
  }
}

/** Names of series that are calibrations begin with this. */
export const CALIBRATION_PREFIX = 'count '

function seriesName({ provider, model = '', part, kind, tenant }: CalibrationKey): string {
  const names = [part, kind, provider, model.trim().toLowerCase()]
  return CALIBRATION_PREFIX + joinedNames(tenant === undefined ? names : [...names, tenant])
}

/** The calls of all tenants together. */
function ofAll(key: CalibrationKey): CalibrationKey {
  return { ...key, tenant: undefined }
}

function learnedEstimate(
  series: Recent<Learned>,
  counted: number,
): { readonly tokens: number; readonly upper: number } {
  const { samples } = series
  if (series.learned === undefined || series.since > 0) {
    series.learned = learnedOf(samples)
    series.since = 0
  }
  const { points, kind, ratios } = series.learned
  const expected = foretold(kind, points, counted)
  const alike = samples.filter((each) => each.counted === counted).map(({ reported }) => reported)
  const isKnown = alike.length >= LEAST_ALIKE
  // The median of them and of what the others foretell: a single one says nothing.
  const tokens = Math.round(isKnown ? median([...alike, expected]) : expected)
  const upper = isKnown ? upperOf(alike.toSorted((a, b) => a - b)) : expected * Math.max(1, upperOf(ratios))
  return { tokens, upper: Math.max(tokens, upper) }
}

function learnedOf(samples: readonly CalibrationSample[]): Learned {
  const points = pointsOf(samples)
  const kind = fitKindOf(points)
  const ratios = points.flatMap(({ counted }, index) => {
    const expected = foretold(kind, points.toSpliced(index, 1), counted)
    return samples.filter((each) => each.counted === counted).map(({ reported }) => (reported + 1) / (expected + 1))
  })
  return { points, kind, ratios: ratios.toSorted((a, b) => a - b) }
}

/** What nine of ten do not exceed, of figures in ascending order, and with a margin while they are few. */
function upperOf(figures: readonly number[]): number {
  const rank = Math.min(figures.length, Math.ceil(UPPER_SHARE * (figures.length + 1)))
  return figures[rank - 1]! * (figures.length < ENOUGH_FOR_UPPER ? FEW_SAMPLES_MARGIN : 1)
}
