import { DEFAULT_TENANT, type Subject, type Usage } from '@tallygate/core'
import type { OutputKey, TokenCount } from '@tallygate/metering'
import type { AnswerFacts } from './answer.ts'
import { MOST_SAMPLED_BYTES } from './count-sampler.ts'
import type { MeteredRequest } from './metered-request.ts'
import type { Walk } from './walk.ts'

/** A body that nobody will count again. */
const NOTHING = new Uint8Array(0)

/** Whose calls write alike. */
export function outputKey(
  subject: Subject | undefined,
  { provider = '', operation, model }: { provider: string | undefined; operation: string; model: string | undefined },
): OutputKey {
  return {
    tenant: subject?.tenant ?? DEFAULT_TENANT,
    subject: subject?.id ?? 'anonymous',
    provider,
    operation,
    model,
  }
}

/** A call that has come to its end. */
export interface LearnedCall {
  readonly request: MeteredRequest
  readonly answer: AnswerFacts
  readonly usage: Usage
  readonly key: OutputKey
  /** The prompt's count, where the call was decided on it. */
  readonly counted: TokenCount | undefined
}

/** Learns from a call that has come to its end what the next one like it will need. Costs some microseconds. */
export function learnFrom(
  { learned, sampler, admission }: Walk,
  { request, answer, usage, key, counted }: LearnedCall,
): void {
  const { match, facts, body } = request
  if (match === undefined) return
  // An answer that was cut short in the caller's place tells nothing of what such calls want.
  if (usage.outputTokens !== undefined && request.loweredCeiling === undefined)
    learned.learned(learned.outputs.observe(key, usage.outputTokens, admission.nowMs(), facts.answers))
  const { isOpen } = sampler
  if (counted === undefined && !isOpen) return
  const { usage: shape, counts } = match.adapter
  // Pictures and sound have no text to count.
  if (counts === 'nothing') return
  const { framing, kept, reading } = answer
  const { provider, tenant } = key
  const wholeAnswer =
    isOpen &&
    (body?.length ?? 0) <= MOST_SAMPLED_BYTES &&
    counts === 'text' &&
    framing === 'json' &&
    !kept.isEmpty &&
    kept.scale === 1
  sampler.ended({
    calls: { tenant, provider, kind: request.kind },
    usage,
    prompt:
      body === undefined
        ? undefined
        : {
            kind: 'prompt',
            shape,
            body: counted === undefined && body.length <= MOST_SAMPLED_BYTES ? new Uint8Array(body) : NOTHING,
            model: facts.model,
            provider,
          },
    counted,
    completion: wholeAnswer
      ? {
          kind: 'output',
          shape,
          framing,
          body: kept.body,
          model: reading.model ?? facts.model,
          provider,
          request: body === undefined ? undefined : new Uint8Array(body),
        }
      : undefined,
  })
}
