export { assertMembers, assertOneOf, configError } from './config-error.ts'
export { BY_DEFAULT, BY_LIMITER, BY_REGISTRY, type Assignment, type PlanOrigin } from './assignment.ts'
export { assertAdjustable } from './assert-adjustable.ts'
export { Admission, type AdmissionOptions, type AdmitRequest, type ReadOptions } from './admission.ts'
export {
  isSample,
  mergedSamples,
  MOST_NAME_CHARACTERS,
  SAMPLES_KEPT,
  SERIES_KEPT,
  type CalibrationSample,
  type CalibrationSeries,
  type CalibrationStore,
} from './calibration-store.ts'
export { calendarBucket, type Bucket } from './calendar.ts'
export { CALLER_LEVELS, groupsOf, type CallerLevel, type CallerMatch } from './caller-match.ts'
export { monotonicClock, type Clock } from './clock.ts'
export { conditionHolds } from './condition.ts'
export {
  COUNT_ATTEMPTS,
  isCounted,
  type CompleteCountRule,
  type CountRule,
  type EndedAttempt,
  type RefundCause,
} from './count-rule.ts'
export type {
  AdjustRequest,
  Charge,
  ChargeWindow,
  Counter,
  CounterStatus,
  CounterStore,
  CounterStoreCapability,
  Eventually,
  ExpiredHold,
  HeldUnits,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SeededCounter,
  SeedRequest,
  SettledCharge,
  SettleOutcome,
  SettleRequest,
} from './counter-store.ts'
export type { Admitted, Decision, LimitStatus, RefusalReason, Refused, Reservation, WithoutStore } from './decision.ts'
export type { AdjustmentEntry, Entry, EntryCharge, UsageEntry, UsageOutcome, WindowStartEntry } from './entry.ts'
export { explain, type ExplainedLimit, type Explanation, type ExplainRequest } from './explain.ts'
export { MemoryKeyRegistry, type KeyRecord, type KeyRegistry } from './key-registry.ts'
export {
  USAGE_GROUPS,
  type CounterEvent,
  type CounterEventPage,
  type CounterEventQuery,
  type EntryPage,
  type Ledger,
  type UsageFilter,
  type UsageGroup,
  type UsagePage,
  type UsageQuery,
  type UsageRow,
  type UsageSum,
  type WindowStartEvent,
} from './ledger.ts'
export {
  assertName,
  completeLimit,
  type Change,
  type CompleteLimit,
  type Limit,
  type LimitCondition,
  type Trip,
  type WhileUnavailable,
} from './limit.ts'
export type { LocalShare } from './local-share.ts'
export { MemoryCalibrationStore } from './memory-calibration-store.ts'
export { MemoryCounterStore, type MemoryCounterStoreOptions } from './memory-counter-store.ts'
export { MemoryLedger } from './memory-ledger.ts'
export type { Override, OverrideMatch } from './override.ts'
export {
  estimateKindOf,
  overshootOf,
  type EstimateKind,
  type Overshoot,
  type OvershootCause,
  type OvershootConditions,
  type Topology,
} from './overshoot.ts'
export { MemoryOutbox, type Outbox } from './outbox.ts'
export {
  bindLimits,
  chargesOf,
  chargeWindow,
  CompiledLimit,
  CompiledPlan,
  NO_PLANS,
  type BoundLimit,
  type Plan,
  type PlanSet,
} from './plan.ts'
export { MemoryPlanSource, type MemoryPlanSourceOptions, type PlanSource } from './plan-source.ts'
export type { CounterAdjustment } from './admission.ts'
export { eventsOf } from './counter-events.ts'
export { CounterHistory } from './counter-history.ts'
export { readCounters } from './counter-reading.ts'
export { type RebuildOptions } from './counter-rebuild.ts'
export { isQuotaError, QuotaError, type QuotaErrorCode, type QuotaErrorOptions } from './quota-error.ts'
export { DEFAULT_TENANT, type CallFacts, type Dimensions, type Subject } from './subject.ts'
export { instantOf, isTimeZone, localTime, zoneOffset } from './time-zone.ts'
export { MAX_UNITS, UNITS, type Amounts, type Unit } from './unit.ts'
export { amountsOf, wholeUnits, type Usage, type UsageBasis, type UsageConfidence, type UsageFlag } from './usage.ts'
export {
  addSums,
  completeUsageQuery,
  dateLabel,
  dateSpans,
  NO_USAGE,
  planLabel,
  sumOf,
  type CompleteUsageQuery,
  type DateSpan,
} from './usage-query.ts'
export {
  assertWindow,
  MAX_DURATION_MS,
  type CalendarUnit,
  type CalendarWindow,
  type ConcurrentWindow,
  type EpochWindow,
  type FirstUseWindow,
  type LifetimeWindow,
  type SlidingWindow,
  type Window,
  type WindowAnchor,
} from './window.ts'
