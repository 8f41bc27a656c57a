import { SAMPLES_KEPT, type CalibrationSample, type CalibrationSeries, type CalibrationStore } from '@tallygate/core'
import { Calibration, CALIBRATION_PREFIX, OutputEstimator } from '@tallygate/metering'
import type { Logger } from './logger.ts'

/** What was learned is saved so often. */
const SAVE_EVERY_MS = 30_000
/** How long closing waits for a store that does not answer. */
const CLOSE_WITHIN_MS = 5_000
/** Series of one page of the store: a millisecond or two of the event loop. */
const PAGE = 100
/** Series that are taken from the store, and that wait for it. */
const MOST_SERIES = 5_000

/**
 * What this process has learned of estimates: by how much counts are off, and how much answers write. Taken from a store
 * in the background, and saved there every 30 s and when the quota closes. No call waits for any of it; what a store
 * loses or does not take is learned again.
 */
export class LearnedEstimates {
  readonly calibration = new Calibration()
  readonly outputs = new OutputEstimator()
  readonly #store: CalibrationStore | undefined
  readonly #logger: Logger
  /** What the store does not have yet, in the order in which it was learned. */
  #unsaved = new Map<string, CalibrationSample[]>()
  #timer: NodeJS.Timeout | undefined
  #saving: Promise<void> = Promise.resolve()
  #isClosed = false
  /** Resolves when what the store had was taken. */
  readonly loaded: Promise<void>

  constructor(store: CalibrationStore | undefined, logger: Logger) {
    this.#store = store
    this.#logger = logger
    this.loaded = store === undefined ? Promise.resolve() : this.#load(store)
  }

  /** Takes note of what the store is to keep. */
  learned(series: readonly CalibrationSeries[]): void {
    if (this.#store === undefined || this.#isClosed || series.length === 0) return
    for (const { name, samples } of series) {
      const waiting = this.#unsaved.get(name)
      if (waiting === undefined) this.#unsaved.set(name, [...samples])
      else {
        waiting.push(...samples)
        // Older ones would not be kept.
        if (waiting.length > SAMPLES_KEPT) waiting.splice(0, waiting.length - SAMPLES_KEPT)
      }
      if (this.#unsaved.size > MOST_SERIES) this.#unsaved.delete(this.#unsaved.keys().next().value!)
    }
    this.#timer ??= setTimeout(() => void this.save(), SAVE_EVERY_MS).unref()
  }

  /** Saves what was learned. Never rejects: what the store does not take waits for the next time. */
  save(): Promise<void> {
    return (this.#saving = this.#saving.then(() => this.#save()))
  }

  /** Saves, for 5 s at most, and learns for no store any more. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, CLOSE_WITHIN_MS)
    await Promise.race([this.save(), promise])
    clearTimeout(timer)
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #save(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#store === undefined || this.#unsaved.size === 0) return
    const series = [...this.#unsaved].map(([name, samples]) => ({ name, samples }))
    this.#unsaved = new Map()
    try {
      await this.#store.add(series)
    } catch (error) {
      this.#logger.warn('what was learned of estimates could not be saved', { cause: String(error) })
      const since = this.#unsaved
      this.#unsaved = new Map()
      this.learned([...series, ...[...since].map(([name, samples]) => ({ name, samples }))])
    }
  }

  async #load(store: CalibrationStore): Promise<void> {
    try {
      for (let offset = 0; offset < MOST_SERIES; offset += PAGE) {
        // After whatever is under way: no call waits for what can be learned.
        await new Promise((resolve) => setImmediate(resolve))
        if (this.#isClosed) return
        const page = await store.load({ offset, limit: PAGE })
        for (const series of page) this.#seed(series)
        if (page.length < PAGE) return
      }
    } catch (error) {
      this.#logger.warn('what was learned of estimates could not be read', { cause: String(error) })
    }
  }

  #seed(series: CalibrationSeries): void {
    if (series.name.startsWith(CALIBRATION_PREFIX)) this.calibration.seed(series)
    else this.outputs.seed(series)
  }
}
