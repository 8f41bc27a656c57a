import {
  isSample,
  mergedSamples,
  MOST_NAME_CHARACTERS,
  SERIES_KEPT,
  type CalibrationSample,
  type CalibrationSeries,
  type CalibrationStore,
} from './calibration-store.ts'

/** What was learned, for as long as its process runs. */
export class MemoryCalibrationStore implements CalibrationStore {
  /** In the order in which they learned. */
  readonly #series = new Map<string, readonly CalibrationSample[]>()
  readonly #most: number

  /** @param most Series it keeps. Default: 5,000. */
  constructor({ most = SERIES_KEPT }: { readonly most?: number } = {}) {
    this.#most = most
  }

  async load({ offset, limit }: { offset: number; limit: number }): Promise<readonly CalibrationSeries[]> {
    const latest = [...this.#series].toReversed().slice(offset, offset + limit)
    return latest.map(([name, samples]) => ({ name, samples }))
  }

  async add(series: readonly CalibrationSeries[]): Promise<void> {
    for (const { name, samples } of series) {
      const good = samples.filter(isSample)
      if (good.length === 0 || name === '' || name.length > MOST_NAME_CHARACTERS) continue
      const merged = mergedSamples(this.#series.get(name) ?? [], good)
      this.#series.delete(name)
      this.#series.set(name, merged)
    }
    for (const name of this.#series.keys()) {
      if (this.#series.size <= this.#most) break
      this.#series.delete(name)
    }
  }

  async close(): Promise<void> {}
}
