import { problemBody, problemEvent, streamEnding, type Problem } from '@tallygate/metering'
import type { Call } from './call.ts'
import type { LiveCut } from './live-cut.ts'

const USED_UP: Omit<Problem, 'requestId'> = {
  kind: 'quota-exhausted',
  status: 429,
  message: 'The quota is used up: the answer was cut here.',
}

/**
 * What the caller of a stream that was cut reads last: the end that its dialect has for an answer that was too long, or,
 * where it has none or has not begun, an error.
 */
export async function cutEnding(call: Call, { output, framing }: LiveCut): Promise<Buffer> {
  const { metered, dialect, attemptId } = call
  const usage = await call.used()
  const ending = streamEnding({
    framing,
    head: output.head,
    tail: output.tail,
    finished: output.finished,
    inputTokens: usage?.inputTokens,
    outputTokens: usage?.outputTokens ?? output.counted,
    asksUsage: metered.asksUsage,
  })
  if (ending !== undefined) return ending
  const problem = { ...USED_UP, requestId: attemptId }
  if (framing === 'sse') return Buffer.from(problemEvent(metered.match?.adapter.id ?? '', dialect, problem))
  const { body } = problemBody(dialect, problem)
  if (framing === 'ndjson') return Buffer.from(`${body}\n`)
  return Buffer.from(`${output.head.length === 0 ? '[' : ','}${body}]`)
}
