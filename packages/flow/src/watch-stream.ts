import { LiveOutput, type StreamFraming } from '@tallygate/metering'
import type { Call } from './call.ts'
import { cutEnding } from './cut-ending.ts'
import { LiveCut, type CutTarget } from './live-cut.ts'
import type { StreamAllowance } from './stream-allowance.ts'
import type { Walk } from './walk.ts'

/** A stream, and what it may write. */
export interface WatchedStream {
  readonly allowance: StreamAllowance
  readonly framing: StreamFraming
  readonly target: CutTarget
  readonly provider: string | undefined
}

/** Watches over a stream of a call's, and cuts it when it has written what it may. */
export function watchStream(
  { counter }: Walk,
  call: Call,
  { allowance, framing, target, provider }: WatchedStream,
): LiveCut {
  const { match, facts, body } = call.metered
  const { model } = facts
  const shape = match!.adapter.usage
  const output = new LiveOutput({ framing, counter, shape, model })
  /** As the provider has said at the beginning of its stream, or as counted; `undefined` where neither tells. */
  const inputTokens = async (): Promise<number | undefined> => {
    const { reportedInput } = output
    if (reportedInput !== undefined || body === undefined) return reportedInput
    const count = await counter.count({ kind: 'prompt', shape, body: new Uint8Array(body), model, provider })
    const isSure = count.isComplete && !count.isLowerBound && count.confidence !== 'low'
    return isSure ? count.tokens : undefined
  }
  const ending = (cut: LiveCut): Promise<Buffer> => cutEnding(call, cut)
  return new LiveCut({ allowance, output, framing, inputTokens, ending }, target)
}
