import {
  mergedSamples,
  MOST_NAME_CHARACTERS,
  SAMPLES_KEPT,
  type CalibrationSample,
  type CalibrationSeries,
} from '@tallygate/core'

/** The latest samples of one series, and what was worked out of them. */
export interface Recent<T> {
  /** Oldest first. */
  samples: CalibrationSample[]
  /** Samples that were added since {@link learned} was worked out. */
  since: number
  learned: T | undefined
}

/**
 * Series of samples by their names, in two generations: at most so many, and what was not used in a while is forgotten.
 * Written at every call, so nothing is copied or sorted here.
 */
export class RecentSeries<T> {
  readonly #size: number
  #young = new Map<string, Recent<T>>()
  #old = new Map<string, Recent<T>>()

  /** @param most Series in both generations together. */
  constructor(most: number) {
    this.#size = Math.max(1, most >> 1)
  }

  get(name: string): Recent<T> | undefined {
    const young = this.#young.get(name)
    if (young !== undefined) return young
    const old = this.#old.get(name)
    if (old !== undefined) this.#set(name, old)
    return old
  }

  /** Adds a call that has just ended. */
  add(name: string, sample: CalibrationSample): void {
    const known = this.get(name)
    if (known === undefined) return this.#set(name, { samples: [sample], since: 1, learned: undefined })
    known.samples.push(sample)
    if (known.samples.length > SAMPLES_KEPT) known.samples.shift()
    known.since += 1
  }

  /** Takes what was learned before, without driving out what was used since. */
  seed({ name, samples }: CalibrationSeries): void {
    const known = this.get(name)
    if (known === undefined && this.#young.size >= this.#size) return
    const merged = [...mergedSamples(known?.samples ?? [], samples)]
    this.#set(name, { samples: merged, since: merged.length, learned: undefined })
  }

  #set(name: string, series: Recent<T>): void {
    if (name.length > MOST_NAME_CHARACTERS) return
    if (this.#young.size >= this.#size) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(name, series)
  }
}

/** Names put together so that no two lists of them come to the same. */
export function joinedNames(names: readonly string[]): string {
  let joined = ''
  for (const name of names) joined += `${name.length} ${name} `
  return joined.toWellFormed()
}
