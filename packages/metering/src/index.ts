export {
  ADAPTERS,
  dialectOf,
  isFreeRoute,
  matchAdapter,
  pathOf,
  type Adapter,
  type AdapterMatch,
  type RequestShape,
} from './table/adapter.ts'
export {
  Calibration,
  CALIBRATION_PREFIX,
  type CalibratedCount,
  type CalibrationKey,
  type CalibrationOptions,
} from './learning/calibration.ts'
export { cutRuns } from './counting/cut-runs.ts'
export { problemBody, problemEvent, type Dialect, type Problem, type ProblemBody, type ProblemKind } from './dialect.ts'
export { amountsFor, estimateAmounts, outputEstimate, type EstimateOptions } from './request/estimate.ts'
export { parseJsonBody, type JsonBody, type JsonBodyFault } from './request/json-body.ts'
export { JsonPicker, type JsonPicks, type JsonPickTarget } from './framing/json-picker.ts'
export {
  OutputEstimator,
  OUTPUT_PREFIX,
  type OutputEstimatorOptions,
  type OutputKey,
} from './learning/output-estimator.ts'
export { outputText, type OutputText } from './counting/output-text.ts'
export { planPrompt, type PromptOwner } from './counting/plan-prompt.ts'
export type { PromptPlan, PromptTerm } from './counting/prompt-plan.ts'
export { requestParts, type RequestParts } from './counting/request-parts.ts'
export { renderTools } from './counting/tool-rendering.ts'
export type { ToolDefinition } from './counting/tool-definition.ts'
export type { Raw, ReportedUsage } from './usage/reported-usage.ts'
export { readRequestFacts, type RequestFacts } from './request/request-facts.ts'
export { requestKind } from './learning/request-kind.ts'
export { sseData, sseDocuments } from './framing/sse-event.ts'
export { SseFramer, type SseFrames } from './framing/sse-framer.ts'
export { LiveCounter } from './counting/live-counter.ts'
export { TokenCounter, type TokenCounterOptions } from './counting/token-counter.ts'
export { tokenFamily, type Calibrated, type Encoding, type TokenFamily } from './counting/token-family.ts'
export type { OpenAiTraits } from './counting/openai-traits.ts'
export type { TokenCount, TokenTask } from './counting/token-work.ts'
export { UsageCollector, type UsageReading } from './usage/usage-collector.ts'
export { JsonUsageReader, SseUsageReader, type SseFinding } from './usage/usage-reader.ts'
export { READ_USAGE, type UsageShape } from './usage/usage-shapes.ts'
