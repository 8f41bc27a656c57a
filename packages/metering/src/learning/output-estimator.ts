import { isSample, MAX_UNITS, type CalibrationSample, type CalibrationSeries } from '@tallygate/core'
import { joinedNames, RecentSeries, type Recent } from './recent-series.ts'

/** Whose calls write alike. */
export interface OutputKey {
  readonly tenant: string
  /** Id of the subject. */
  readonly subject: string
  readonly provider: string
  readonly operation: string
  readonly model: string | undefined
}

export interface OutputEstimatorOptions {
  /** Combinations of subject, operation and model that are kept: those used last. Default: 3,000. */
  readonly mostSeries?: number
}

/** From so many answers on an estimate goes by them. */
const LEAST_SAMPLES = 5
const SHARE = 0.95
/** What stands between the quantile and what is set aside: answers grow. */
const SAFETY_PERCENT = 110
/** With fewer answers than that, the longest is not yet one that 19 of 20 stay below. */
const ENOUGH_FOR_SHARE = 19
const FEW_SAMPLES_SAFETY_PERCENT = 150

/** Of many samples, so many new ones change the quantile enough to look again. */
const STALE_AFTER = 8

/** Names of series that are outputs begin with this. */
export const OUTPUT_PREFIX = 'output '

/**
 * Learns how much answers write, for each key and model, from the latest 64 of them. A subject that is new goes by what
 * its tenant's others had of the model; nothing crosses a tenant.
 */
export class OutputEstimator {
  readonly #series: RecentSeries<number>

  constructor({ mostSeries = 3_000 }: OutputEstimatorOptions = {}) {
    this.#series = new RecentSeries(mostSeries)
  }

  /**
   * Output tokens that 19 of 20 such answers do not exceed, with a margin; `undefined` until five were seen.
   *
   * @param answers How many are asked for in one call.
   */
  estimate(key: OutputKey, answers = 1): number | undefined {
    const output = this.#learned(seriesName(key)) ?? this.#learned(seriesName({ ...key, subject: '' }))
    return output === undefined ? undefined : Math.ceil(output * Math.max(1, answers))
  }

  /** Takes what a complete answer used, over all the answers of its call. Returns what a store is to keep. */
  observe(key: OutputKey, output: number, atMs: number, answers = 1): readonly CalibrationSeries[] {
    const each = Math.ceil(output / Math.max(1, answers))
    const sample: CalibrationSample = { counted: 0, reported: each, atMs: Math.floor(atMs) }
    if (!isSample(sample) || each > MAX_UNITS) return []
    return [key, { ...key, subject: '' }].map((of) => {
      const series = { name: seriesName(of), samples: [sample] }
      this.#series.add(series.name, sample)
      return series
    })
  }

  #learned(name: string): number | undefined {
    const series = this.#series.get(name)
    if (series === undefined || series.samples.length < LEAST_SAMPLES) return undefined
    // Sorting takes longer than all else: of many samples, a few that are new change little.
    const isStale = series.since >= (series.samples.length < ENOUGH_FOR_SHARE ? 1 : STALE_AFTER)
    if (series.learned === undefined || isStale) {
      series.learned = quantile(series)
      series.since = 0
    }
    return series.learned
  }

  /** Takes what a store has kept. */
  seed(series: CalibrationSeries): void {
    this.#series.seed(series)
  }
}

function quantile({ samples }: Recent<number>): number {
  const sorted = Float64Array.from(samples, ({ reported }) => reported).sort()
  const rank = Math.min(sorted.length, Math.ceil(SHARE * (sorted.length + 1)))
  const percent = sorted.length < ENOUGH_FOR_SHARE ? FEW_SAMPLES_SAFETY_PERCENT : SAFETY_PERCENT
  return (sorted[rank - 1]! * percent) / 100
}

function seriesName({ tenant, subject, provider, operation, model = '' }: OutputKey): string {
  return OUTPUT_PREFIX + joinedNames([tenant, subject, provider, operation, model.trim().toLowerCase()])
}
