export { Answer, type AnsweredCall, type AnswerFacts, type AnswerSink, type HeadChange } from './answer.ts'
export type { RecordedUsage } from './call-entry.ts'
export type { HoldRequest } from './call-decision.ts'
export type { SampleCounts } from './count-sampler.ts'
export type { CallerOptions } from './caller-rules.ts'
export { Call } from './call.ts'
export { defaultQuota } from './default-quota.ts'
export {
  denialOf,
  guardDenial,
  problemDenial,
  type Denial,
  type DenialContext,
  type DenialOptions,
  type GuardRefusal,
} from './denial.ts'
export { attemptId } from './attempt-id.ts'
export {
  addressKey,
  hostSubject,
  CREDENTIAL_HEADERS,
  withoutKeyProtocol,
  withoutQueryKey,
  type CredentialSource,
} from '@tallygate/identity'
export { coverageOf, pathOf, type Dialect, type ProblemKind } from '@tallygate/metering'
export { FileOutbox, type FileOutboxOptions } from './file-outbox.ts'
export { injectIncludeUsage } from './inject-usage.ts'
export { lowerCeiling } from './lower-ceiling.ts'
export { consoleLogger, warnOnce, type Logger } from './logger.ts'
export { isSessionRequest, isWebSocketUpgrade, type CallRequest } from './metered-request.ts'
export type { AdjustOptions, RefundOptions } from './adjustments.ts'
export type { Drift } from './drift.ts'
export type { NotReadyReason } from './not-ready.ts'
export { createQuota, Quota } from './quota.ts'
export { saySeldom, type Repeated } from './say-seldom.ts'
export type { UnitEstimates } from './call-pricing.ts'
export type { QuotaOptions } from './quota-options.ts'
export { Session, type SessionSink } from './session.ts'
export { rateLimitFields, type Fields, type RateLimitStyle } from './rate-limit-fields.ts'
export { UsageChunkFilter, withoutUsage } from './usage-chunk-filter.ts'
export { usageOf, type EndedAnswer } from './usage-of.ts'
