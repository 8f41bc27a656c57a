import type { Usage } from '@tallygate/core'
import { annotatedUsage } from './annotated-usage.ts'
import type { AnswerFacts } from './answer.ts'
import { CalibratedCounter } from './calibrated-counter.ts'
import type { MeteredRequest } from './metered-request.ts'
import { usageOf } from './usage-of.ts'
import type { Walk } from './walk.ts'

/** What an answer is counted under, where its provider states nothing. */
export interface MeteredCall {
  /** Whether the provider came to its end. */
  readonly isComplete: boolean
  readonly tenant: string
  readonly provider: string | undefined
}

/** What an answer has used: as its provider says, or as counted; `undefined` where nobody knows. */
export function meteredUsage(
  walk: Walk,
  metered: MeteredRequest,
  { framing, reading, kept }: AnswerFacts,
  { isComplete, tenant, provider }: MeteredCall,
): Promise<Usage> | Usage | undefined {
  const { match, facts, body, bytes } = metered
  if (match === undefined) return undefined
  const usage = usageOf(
    { match, facts, requestBody: body, requestBytes: bytes, framing, reading, kept, isComplete },
    new CalibratedCounter(walk.counter, walk.learned.calibration, {
      tenant,
      provider: provider ?? match.adapter.provider,
      request: metered,
    }),
  )
  const { keepsRawUsage } = walk
  if (usage instanceof Promise) return usage.then((counted) => annotatedUsage(counted, reading, keepsRawUsage))
  return usage && annotatedUsage(usage, reading, keepsRawUsage)
}
