export { assertMembers, assertOneOf, configError } from './config-error.ts'
export { Admission, type AdmissionOptions, type AdmitRequest } from './admission.ts'
export { calendarBucket, type Bucket } from './calendar.ts'
export { monotonicClock, type Clock } from './clock.ts'
export { conditionHolds } from './condition.ts'
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
export type { Admitted, Decision, LimitStatus, RefusalReason, Refused, Reservation } from './decision.ts'
export type { AdjustmentEntry, Entry, EntryCharge, UsageEntry, UsageOutcome, WindowStartEntry } from './entry.ts'
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
} from './limit.ts'
export { assertAdjustable, MemoryCounterStore, type MemoryCounterStoreOptions } from './memory-counter-store.ts'
export { MemoryLedger } from './memory-ledger.ts'
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
export { readCounters, type RebuildOptions } from './counter-rebuild.ts'
export { isQuotaError, QuotaError, type QuotaErrorCode } from './quota-error.ts'
export { DEFAULT_TENANT, type CallFacts, type Dimensions, type Subject } from './subject.ts'
export { instantOf, isTimeZone, localTime, zoneOffset } from './time-zone.ts'
export { MAX_UNITS, UNITS, type Amounts, type Unit } from './unit.ts'
export { amountsOf, wholeUnits, type Usage, type UsageBasis, type UsageFlag } from './usage.ts'
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
