import type { CalibrationSample } from '@tallygate/core'

/** What a provider reports, as a function of what is counted: `base + factor × counted`. */
export interface Fit {
  readonly base: number
  readonly factor: number
}

const AS_COUNTED: Fit = { base: 0, factor: 1 }
/** No tokenizer differs from another by more. */
const MOST_FACTOR = 4
/** Samples that a line is laid through. */
const MOST_FITTED = 16
/** Two samples closer together than a tenth say nothing of a slope. */
const LEAST_APART = 0.1

/**
 * The line through samples that would have foretold each of them best from the others: as counted, a constant more, a
 * constant share more, or both. Medians throughout, so that calls that were something else do not count.
 */
export function fitOf(samples: readonly CalibrationSample[]): Fit {
  const latest = samples.slice(-MOST_FITTED)
  let best: { fit: Fit; error: number } | undefined
  for (const kind of [asCounted, constantMore, shareMore, line]) {
    const fit = kind(latest)
    const error = fit === undefined ? undefined : errorOf(latest, kind)
    if (fit === undefined || error === undefined) continue
    // The simpler one, unless the other is better by more than chance has it.
    if (best === undefined || error < best.error * 0.98) best = { fit, error }
  }
  return best?.fit ?? AS_COUNTED
}

/** The constant that the samples are off by. */
export function constantMore(samples: readonly CalibrationSample[]): Fit | undefined {
  if (samples.length === 0) return undefined
  return { base: median(samples.map(({ counted, reported }) => reported - counted)), factor: 1 }
}

/** How far a figure is off, as a share of the true one; 1 at most, so that no single call decides. */
export function relativeError(foretold: number, reported: number): number {
  return Math.min(1, Math.abs(foretold - reported) / Math.max(1, reported))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function asCounted(): Fit {
  return AS_COUNTED
}

function shareMore(samples: readonly CalibrationSample[]): Fit | undefined {
  const ratios = samples.map(({ counted, reported }) => Math.log(Math.max(reported, 0.5) / Math.max(counted, 0.5)))
  if (ratios.length === 0) return undefined
  return { base: 0, factor: Math.min(MOST_FACTOR, Math.max(1 / MOST_FACTOR, Math.exp(median(ratios)))) }
}

/** Theil and Sen's line: the median of all slopes. */
function line(samples: readonly CalibrationSample[]): Fit | undefined {
  const slopes: number[] = []
  for (const [index, one] of samples.entries()) {
    for (const other of samples.slice(0, index)) {
      const apart = one.counted - other.counted
      if (apart === 0 || Math.abs(apart) < LEAST_APART * Math.max(one.counted, other.counted)) continue
      slopes.push((one.reported - other.reported) / apart)
    }
  }
  if (slopes.length < 3) return undefined
  const factor = Math.min(MOST_FACTOR, Math.max(1 / MOST_FACTOR, median(slopes)))
  return { base: median(samples.map(({ counted, reported }) => reported - factor * counted)), factor }
}

/** How far off each sample would be by what the others say. */
function errorOf(
  samples: readonly CalibrationSample[],
  kind: (samples: readonly CalibrationSample[]) => Fit | undefined,
): number | undefined {
  const errors: number[] = []
  for (const [index, { counted, reported }] of samples.entries()) {
    const fit = kind(samples.toSpliced(index, 1))
    if (fit === undefined) return undefined
    errors.push(relativeError(fit.base + fit.factor * counted, reported))
  }
  if (errors.length === 0) return undefined
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
  return median(errors) + mean / 5
}
