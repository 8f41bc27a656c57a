import { wholeUnits } from '@tallygate/core'
import type { Calibration, CalibrationKey, TokenCount, TokenCounter, TokenTask } from '@tallygate/metering'

/** What calls have in common whose counts are off by the same, but for the part that is counted. */
export type CalibratedCalls = Omit<CalibrationKey, 'part' | 'model'>

/** Counts, and puts the counts of one call right by what was learned of its like. */
export class CalibratedCounter {
  readonly #counter: TokenCounter
  readonly #calibration: Calibration
  readonly #tenant: string | undefined
  readonly #provider: string
  /** Asked for its kind only when something is counted: that takes longer than all else of a call whose usage is stated. */
  readonly #request: Pick<CalibratedCalls, 'kind'>

  constructor(
    counter: TokenCounter,
    calibration: Calibration,
    { tenant, provider, request }: Omit<CalibratedCalls, 'kind'> & { readonly request: Pick<CalibratedCalls, 'kind'> },
  ) {
    this.#counter = counter
    this.#calibration = calibration
    this.#tenant = tenant
    this.#provider = provider
    this.#request = request
  }

  /** Never rejects. */
  async count(task: TokenTask): Promise<TokenCount> {
    const [tenant, provider] = [this.#tenant, this.#provider]
    const count = await this.#counter.count({ ...task, provider })
    // Nothing was written, and no preamble is.
    if (count.tokens === 0) return count
    const key = calibrationKey({ tenant, provider, kind: this.#request.kind }, task)
    const { tokens } = this.#calibration.estimate(key, count.tokens)
    return { ...count, tokens, bound: Math.max(count.bound, tokens) }
  }
}

/** What the count of a task is compared under. Of an answer it does not matter what its request was made of. */
export function calibrationKey(calls: CalibratedCalls, { kind, model }: TokenTask): CalibrationKey {
  return kind === 'output' ? { ...calls, model, part: 'completion', kind: 'text' } : { ...calls, model, part: 'prompt' }
}

/** What is added to a count of whose like nothing was learned: other families, and tools, are off by as much. */
const UNLEARNED_SHARE = 1 / 8
const UNLEARNED_TOKENS = 8

/**
 * Input tokens to set aside for a call: what nine of ten such do not exceed, as far as that was learned; else what the
 * count can be at most, with a margin.
 */
export function conservativeInput(calibration: Calibration, key: CalibrationKey, count: TokenCount): number {
  const { upper } = calibration.estimate(key, count.tokens)
  // What was not counted is bounded by its bytes, which nothing has to be learned of.
  if (upper !== undefined && count.isComplete) return upper
  return wholeUnits(count.bound * (1 + UNLEARNED_SHARE) + UNLEARNED_TOKENS)
}
