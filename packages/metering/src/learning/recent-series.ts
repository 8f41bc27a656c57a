import {
  mergedSamples,
  MOST_NAME_CHARACTERS,
  SAMPLES_KEPT,
  type CalibrationSample,
  type CalibrationSeries,
} from '@tallygate/core'

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

  /** Adds a call that has just ended. */
  add(name: string, sample: CalibrationSample): void {
    const known = this.#series.get(name) ?? []
    const latest = known.at(-1)
    if (latest !== undefined && latest.atMs > sample.atMs) return this.#set(name, mergedSamples(known, [sample]))
    // The usual case, at every call: no sorting.
    const samples = known.length < SAMPLES_KEPT ? known.slice() : known.slice(1)
    samples.push(sample)
    this.#set(name, samples)
  }

  /** Takes what was learned before, without driving out what was used since. */
  seed({ name, samples }: CalibrationSeries): void {
    const known = this.#series.get(name)
    if (known !== undefined || this.#series.size < this.#most) this.#set(name, mergedSamples(known ?? [], samples))
  }

  #set(name: string, samples: readonly CalibrationSample[]): void {
    if (name.length > MOST_NAME_CHARACTERS) return
    this.#series.delete(name)
    this.#series.set(name, samples)
    if (this.#series.size > this.#most) this.#series.delete(this.#series.keys().next().value!)
  }
}
