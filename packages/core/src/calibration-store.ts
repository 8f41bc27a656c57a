/** One call of which both were known: what was counted before, and what its provider reported. */
export interface CalibrationSample {
  /** Tokens by our own count; 0 where nothing was counted. */
  readonly counted: number
  /** Tokens by the provider's. */
  readonly reported: number
  readonly atMs: number
}

/** The latest calls of one kind, oldest first. */
export interface CalibrationSeries {
  /** 1 to 1,024 characters. Says what the calls have in common; a store does not look into it. */
  readonly name: string
  readonly samples: readonly CalibrationSample[]
}

/**
 * Where what was learned of estimates outlives a process. Bounded: of each series the latest
 * {@link SAMPLES_KEPT} samples, and of the series those that learned last.
 */
export interface CalibrationStore {
  /**
   * A page of the series, those first that learned last; shorter than `limit` only at the end.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`
   */
  load(page: { readonly offset: number; readonly limit: number }): Promise<readonly CalibrationSeries[]>
  /**
   * Adds samples to series, also to those that other processes add to. Adding the same again changes nothing.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`; then it is not known which were added.
   */
  add(series: readonly CalibrationSeries[]): Promise<void>
  close(): Promise<void>
}

/** Samples that are kept of a series: enough for a 95th percentile, few enough to follow a change. */
export const SAMPLES_KEPT = 64
/** Series that a store keeps unless told otherwise. */
export const SERIES_KEPT = 5_000
/** Characters of a series' name at most. */
export const MOST_NAME_CHARACTERS = 1_024

/** The latest of all samples, oldest first, each once. */
export function mergedSamples(
  known: readonly CalibrationSample[],
  added: readonly CalibrationSample[],
): readonly CalibrationSample[] {
  const all = [...known, ...added].toSorted(inOrder)
  const distinct = all.filter((sample, index) => index === 0 || inOrder(all[index - 1]!, sample) !== 0)
  return distinct.slice(-SAMPLES_KEPT)
}

/** Whether a sample can be learned from: whole numbers from 0, as a store gives them back. */
export function isSample({ counted, reported, atMs }: CalibrationSample): boolean {
  return [counted, reported, atMs].every((figure) => Number.isSafeInteger(figure) && figure >= 0)
}

function inOrder(a: CalibrationSample, b: CalibrationSample): number {
  return a.atMs - b.atMs || a.counted - b.counted || a.reported - b.reported
}
