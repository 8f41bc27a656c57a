import type { Usage } from '@tallygate/core'
import type { TokenCount, TokenCounter, TokenTask } from '@tallygate/metering'
import { calibrationKey, type CalibratedCalls } from './calibrated-counter.ts'
import type { LearnedEstimates } from './learned-estimates.ts'

/**
 * Which calls are counted whose usage the provider has reported, only to learn from the difference. `when-loaded`: some,
 * while the tokenizer is there anyway because a call has needed it. `always`: some, and the first of them loads it.
 * `never`: none; then only calls are learned from that were counted to decide on them.
 */
export type SampleCounts = 'when-loaded' | 'always' | 'never'

/** A call that has ended, with figures that its provider has reported. */
export interface ReportedCall {
  readonly calls: CalibratedCalls
  readonly usage: Usage
  readonly prompt: TokenTask | undefined
  /** The prompt's count, where the call was decided on it. */
  readonly counted: TokenCount | undefined
  readonly completion: TokenTask | undefined
}

/** Larger bodies take the tokenizer's time from those who wait for a count. */
export const MOST_SAMPLED_BYTES = 65_536
/** Until a series has so many, every call is counted that may be; then one of so many. */
const FEW_SAMPLES = 16
const ONE_OF = 32

/** Learns by how much counts are off, from calls of which the provider's figures are known too. */
export class CountSampler {
  readonly #counter: TokenCounter
  readonly #learned: LearnedEstimates
  readonly #samples: SampleCounts
  readonly #nowMs: () => number
  #calls = 0

  constructor(counter: TokenCounter, learned: LearnedEstimates, samples: SampleCounts, nowMs: () => number) {
    this.#counter = counter
    this.#learned = learned
    this.#samples = samples
    this.#nowMs = nowMs
  }

  /** Whether a call could be counted now. Asked first, as most can't and no body is to be copied for them. */
  get isOpen(): boolean {
    if (this.#samples === 'never' || !this.#counter.isIdle) return false
    return this.#samples === 'always' || this.#counter.isLoaded
  }

  /** Learns from a call. Returns at once; what is counted for it is counted later. */
  ended({ calls, usage, prompt, counted, completion }: ReportedCall): void {
    this.#calls += 1
    if (!isComparable(usage)) return
    const { inputTokens, outputTokens, reasoningTokens = 0 } = usage
    const { isOpen } = this
    if (inputTokens !== undefined && prompt !== undefined) {
      if (counted !== undefined) this.#compare(calls, prompt, counted, inputTokens)
      else if (isOpen) void this.#count(calls, prompt, inputTokens)
    }
    // Thoughts that are not shown are not in the text.
    if (outputTokens !== undefined && completion !== undefined && reasoningTokens === 0 && isOpen)
      void this.#count(calls, completion, outputTokens)
  }

  async #count(calls: CalibratedCalls, task: TokenTask, reported: number): Promise<void> {
    if (task.body.byteLength === 0 || task.body.byteLength > MOST_SAMPLED_BYTES) return
    const known = this.#learned.calibration.samples(calibrationKey(calls, task))
    if (known >= FEW_SAMPLES && this.#calls % ONE_OF !== 0) return
    this.#compare(calls, task, await this.#counter.count(task), reported)
  }

  #compare(calls: CalibratedCalls, task: TokenTask, count: TokenCount, reported: number): void {
    if (!count.isComplete) return
    const key = calibrationKey(calls, task)
    this.#learned.learned(this.#learned.calibration.observe(key, count.tokens, reported, this.#nowMs()))
  }
}

/** Figures that had to be explained are of more than the text: of several runs, or of what the provider keeps. */
function isComparable({ basis, flags = [] }: Usage): boolean {
  return basis === 'reported' && flags.every((flag) => flag === 'ceiling-lowered')
}
