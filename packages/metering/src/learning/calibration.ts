import { isSample, MAX_UNITS, wholeUnits, type CalibrationSample, type CalibrationSeries } from '@tallygate/core'
import { joinedNames, RecentSeries } from './recent-series.ts'
import { constantMore, fitOf, type Fit } from './sample-fit.ts'

/** What calls have in common whose counts are off by the same. */
export interface CalibrationKey {
  readonly provider: string
  readonly model: string | undefined
  /** What was counted. */
  readonly part: 'prompt' | 'completion'
  /** What the request is made of, as {@link requestKind} says: tools, histories and schemas are off by more than text. */
  readonly kind: string
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
  /** Combinations of provider, model, part and kind that are kept: those used last. Default: 2,000. */
  readonly mostSeries?: number
}

/** What is worked out of a series at the first question since its last sample. */
interface Learned {
  readonly fit: Fit
  readonly ratios: readonly number[]
}

/** From so many calls on a count is put right. */
const LEAST_SAMPLES = 5
/** Samples so near in size are of the same making more likely than the others. */
const NEAR = 1.25
const LEAST_NEAR = 3
const MOST_NEAR = 5
/** With fewer samples than that, the highest is not yet what nine of ten stay below. */
const ENOUGH_FOR_UPPER = 9
const UPPER_SHARE = 0.9
const FEW_SAMPLES_MARGIN = 1.25

/**
 * Learns by how much our own counts are off what providers report, for each provider, model and kind of request. Goes by
 * the latest 64 calls, by medians, so that one strange call changes nothing and a new tokenizer is followed soon.
 */
export class Calibration {
  readonly #series: RecentSeries<Learned>

  constructor({ mostSeries = 2_000 }: CalibrationOptions = {}) {
    this.#series = new RecentSeries(mostSeries)
  }

  /** Calls that were learned from. */
  samples(key: CalibrationKey): number {
    return this.#series.get(seriesName(key))?.samples.length ?? 0
  }

  /** @param counted Tokens by the static rules, before any calibration. */
  estimate(key: CalibrationKey, counted: number): CalibratedCount {
    const series = this.#series.get(seriesName(key))
    const raw = wholeUnits(counted)
    if (series === undefined || series.samples.length < LEAST_SAMPLES)
      return { tokens: raw, upper: undefined, samples: series?.samples.length ?? 0 }
    const { samples } = series
    if (series.learned === undefined || series.since > 0) {
      const fit = fitOf(samples)
      series.learned = { fit, ratios: ratiosOf(samples, fit) }
      series.since = 0
    }
    const { fit, ratios } = series.learned
    const tokens = foretold(samples, fit, raw)
    return { tokens, upper: Math.max(tokens, wholeUnits(tokens * upperRatio(ratios))), samples: samples.length }
  }

  /** @param counted As in {@link estimate}. What is no whole number from 0, or 0, teaches nothing. */
  observe(key: CalibrationKey, counted: number, reported: number, atMs: number): CalibrationSeries | undefined {
    const sample = { counted: Math.round(counted), reported, atMs: Math.floor(atMs) }
    if (!isSample(sample) || sample.counted === 0 || reported === 0 || reported > MAX_UNITS) return undefined
    const name = seriesName(key)
    this.#series.add(name, sample)
    return { name, samples: [sample] }
  }

  /** Takes what a store has kept. */
  seed(series: CalibrationSeries): void {
    this.#series.seed(series)
  }
}

/** Names of series that are calibrations begin with this. */
export const CALIBRATION_PREFIX = 'count '

function seriesName({ provider, model = '', part, kind }: CalibrationKey): string {
  return CALIBRATION_PREFIX + joinedNames([part, kind, provider, model.trim().toLowerCase()])
}

/** By samples of its size where there are some; else by the line through all. */
function foretold(samples: readonly CalibrationSample[], fit: Fit, counted: number): number {
  const near = nearest(samples, counted)
  const { base, factor } = near.length < LEAST_NEAR ? fit : constantMore(near)!
  return wholeUnits(Math.round(base + factor * counted))
}

function nearest(samples: readonly CalibrationSample[], counted: number): readonly CalibrationSample[] {
  const isNear = ({ counted: other }: CalibrationSample): boolean =>
    Math.max(other, counted) + 1 <= NEAR * (Math.min(other, counted) + 1)
  return samples
    .filter(isNear)
    .toSorted((a, b) => Math.abs(a.counted - counted) - Math.abs(b.counted - counted))
    .slice(0, MOST_NEAR)
}

/**
 * How many times what the others foretell each sample was, in ascending order. Others are those of another size: a prompt
 * that is sent again and again foretells itself, and says nothing of the next that is new.
 */
function ratiosOf(samples: readonly CalibrationSample[], fit: Fit): number[] {
  return samples
    .map(({ counted, reported }) => {
      const others = samples.filter((other) => other.counted !== counted)
      return (reported + 1) / (foretold(others, fit, counted) + 1)
    })
    .toSorted((a, b) => a - b)
}

function upperRatio(ratios: readonly number[]): number {
  const rank = Math.min(ratios.length, Math.ceil(UPPER_SHARE * (ratios.length + 1)))
  return Math.max(1, ratios[rank - 1]! * (ratios.length < ENOUGH_FOR_UPPER ? FEW_SAMPLES_MARGIN : 1))
}
