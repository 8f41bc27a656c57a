import type { CalibrationSample } from '@tallygate/core'

/** What a provider reports, as a function of what is counted: `base + factor × counted`. */
export interface Fit {
  readonly base: number
  readonly factor: number
}

/** A count, and the median of what was reported of calls that had it. */
export type Point = Pick<CalibrationSample, 'counted' | 'reported'>
/** How a fit is made of points; `undefined` where they are too few for it. */
export type FitKind = (points: readonly Point[]) => Fit | undefined

const AS_COUNTED: Fit = { base: 0, factor: 1 }
/** No tokenizer differs from another by more. */
const MOST_FACTOR = 4
/** Points that a fit is made of, the latest. */
const MOST_POINTS = 16
/** Fewer say nothing of a count that is not among them. */
const LEAST_POINTS = 3
/** Two points closer together than a tenth say nothing of a slope. */
const LEAST_APART = 0.1
/** A fit must be off by so much less than the counts themselves are: what is not sure does more harm than good. */
const WORTH = 0.6

/**
 * Samples by their counts, in the order in which these came up last. A prompt that is sent again and again is one point: it
 * foretells itself, and says nothing of the next that is new.
 */
export function pointsOf(samples: readonly Point[]): readonly Point[] {
  const reports = new Map<number, number[]>()
  for (const { counted, reported } of samples) {
    const known = reports.get(counted) ?? []
    known.push(reported)
    reports.delete(counted)
    reports.set(counted, known)
  }
  return [...reports].slice(-MOST_POINTS).map(([counted, all]) => ({ counted, reported: median(all) }))
}

/**
 * The way to go from counts to reports that would have foretold each point best from the others: as counted, a constant
 * more, a constant share more, or a line. By medians, so that calls that were something else do not count.
 */
export function fitKindOf(points: readonly Point[]): FitKind {
  let best: FitKind = asCounted
  if (points.length < LEAST_POINTS) return best
  let least = errorOf(points, asCounted)! * WORTH
  for (const kind of [constantMore, shareMore, line]) {
    const error = errorOf(points, kind)
    if (error === undefined || error >= least) continue
    best = kind
    least = error
  }
  return best
}

/** What a kind of fit made of other points foretells of a count; the count itself where they are too few. */
export function foretold(kind: FitKind, points: readonly Point[], counted: number): number {
  const { base, factor } = kind(points) ?? AS_COUNTED
  return Math.max(0, base + factor * counted)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function asCounted(): Fit {
  return AS_COUNTED
}

function constantMore(points: readonly Point[]): Fit | undefined {
  if (points.length === 0) return undefined
  return { base: median(points.map(({ counted, reported }) => reported - counted)), factor: 1 }
}

function shareMore(points: readonly Point[]): Fit | undefined {
  if (points.length === 0) return undefined
  const ratios = points.map(({ counted, reported }) => Math.log(Math.max(reported, 0.5) / Math.max(counted, 0.5)))
  return { base: 0, factor: bounded(Math.exp(median(ratios))) }
}

/** Theil and Sen's line: the median of all slopes. */
function line(points: readonly Point[]): Fit | undefined {
  const slopes: number[] = []
  for (const [index, one] of points.entries()) {
    for (const other of points.slice(0, index)) {
      const apart = one.counted - other.counted
      if (Math.abs(apart) < LEAST_APART * Math.max(one.counted, other.counted)) continue
      slopes.push((one.reported - other.reported) / apart)
    }
  }
  if (slopes.length < LEAST_POINTS) return undefined
  const factor = bounded(median(slopes))
  return { base: median(points.map(({ counted, reported }) => reported - factor * counted)), factor }
}

function bounded(factor: number): number {
  return Math.min(MOST_FACTOR, Math.max(1 / MOST_FACTOR, factor))
}

/** How far off each point would be by what the others say. */
function errorOf(points: readonly Point[], kind: FitKind): number | undefined {
  const errors: number[] = []
  for (const [index, { counted, reported }] of points.entries()) {
    const fit = kind(points.toSpliced(index, 1))
    if (fit === undefined) return undefined
    // Never more than wholly wrong, so that no single call decides.
    errors.push(Math.min(1, Math.abs(fit.base + fit.factor * counted - reported) / Math.max(1, reported)))
  }
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
  return median(errors) + mean / 5
}
