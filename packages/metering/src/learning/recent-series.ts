import { mergedSamples, MOST_NAME_CHARACTERS, type CalibrationSample, type CalibrationSeries } from '@tallygate/core'

/** Series of samples by their names: those that were used last, at most so many. */
export class RecentSeries {
  readonly #most: number
  /** In the order of use. */
  readonly #series = new Map<string, readonly CalibrationSample[]>()

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#series.size
  }

  /** The samples of a series, oldest first; none where it is not known. */
  samples(name: string): readonly CalibrationSample[] {
    const samples = this.#series.get(name)
    if (samples === undefined) return []
    this.#series.delete(name)
    this.#series.set(name, samples)
    return samples
  }

  add(name: string, added: readonly CalibrationSample[]): void {
    if (name.length > MOST_NAME_CHARACTERS) return
    const samples = mergedSamples(this.#series.get(name) ?? [], added)
    this.#series.delete(name)
    this.#series.set(name, samples)
    if (this.#series.size > this.#most) this.#series.delete(this.#series.keys().next().value!)
  }

  /** Takes what was learned before, without driving out what was used since. */
  seed({ name, samples }: CalibrationSeries): void {
    if (this.#series.has(name) || this.#series.size < this.#most) this.add(name, samples)
  }
}
