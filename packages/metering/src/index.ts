export {
  ADAPTERS,
  adapterOf,
  COVERAGE,
  coverageOf,
  dialectOf,
  isFreeRoute,
  isSessionRow,
  matchAdapter,
  matchOperation,
  matchServedBy,
  providerOf,
} from './table/adapter.ts'
export {
  OperationTable,
  type Adapter,
  type AdapterMatch,
  type Coverage,
  type CoverageRow,
} from './table/operation-table.ts'
export { OPERATIONS, type Bill, type Operation } from './table/operations.ts'
export { PROVIDERS, type OwnPath, type Provider, type ProviderRoute } from './table/providers.ts'
export { isShortPath, pathOf } from './table/request-path.ts'
export { type MemberPath, type RequestShape } from './table/request-shape.ts'
export {
  Calibration,
  CALIBRATION_PREFIX,
  type CalibratedCount,
  type CalibrationKey,
  type CalibrationOptions,
} from './learning/calibration.ts'
export { cutRuns } from './counting/cut-runs.ts'
export {
  problemBody,
  problemEvent,
  problemMessage,
  type Dialect,
  type Problem,
  type ProblemBody,
  type ProblemKind,
} from './dialect.ts'
export { amountsFor, estimateAmounts, outputEstimate, type EstimateOptions } from './request/estimate.ts'
export { isFormType, parseFormBody, type BodyFault, type FormBody } from './request/form-body.ts'
export { parseJsonBody, type JsonBody, type JsonBodyFault } from './request/json-body.ts'
export { JsonPicker, type JsonPick, type JsonPicks, type JsonPickTarget } from './framing/json-picker.ts'
export {
  OutputEstimator,
  OUTPUT_PREFIX,
  type OutputEstimatorOptions,
  type OutputKey,
} from './learning/output-estimator.ts'
export { outputText, type OutputText } from './counting/output-text.ts'
export { isRaw, type Raw, type ReportedUsage } from './usage/reported-usage.ts'
export { planPrompt, type PromptOwner } from './counting/plan-prompt.ts'
export type { PromptPlan, PromptTerm } from './counting/prompt-plan.ts'
export { requestParts, type RequestParts } from './counting/request-parts.ts'
export { renderTools } from './counting/tool-rendering.ts'
export type { ToolDefinition } from './counting/tool-definition.ts'
export { mostMediaTokens } from './request/media-bound.ts'
export { readRequestFacts, tellsOperation, type RequestFacts } from './request/request-facts.ts'
export { clientFrame, closePayload, serverFrame } from './framing/websocket-frame.ts'
export { WebSocketReader, type WebSocketTarget } from './framing/websocket-reader.ts'
export { requestKind } from './learning/request-kind.ts'
export { sseData, sseDocuments } from './framing/sse-event.ts'
export { eventAround, SseFramer } from './framing/sse-framer.ts'
export type { Frames } from './framing/framer.ts'
export { documentsOf } from './framing/documents.ts'
export type { Framing } from './framing/framing.ts'
export { KeptOutput } from './framing/kept-output.ts'
export { LiveCounter } from './counting/live-counter.ts'
export { TokenCounter, type TokenCounterOptions } from './counting/token-counter.ts'
export { tokenFamily, type Calibrated, type Encoding, type TokenFamily } from './counting/token-family.ts'
export type { OpenAiTraits } from './counting/openai-traits.ts'
export type { TokenCount, TokenTask } from './counting/token-work.ts'
export { UsageCollector, type HeaderValue, type UsageReading } from './usage/usage-collector.ts'
export { createUsageReader, usageReaderFor, type UsageReader, type UsageReaderOptions } from './usage/usage-reader.ts'
export {
  readUsage,
  USAGE_SHAPES,
  type Needle,
  type ShapeRow,
  type StreamEnd,
  type UsageShape,
} from './usage/usage-shapes.ts'
export { streamFramer, type StreamFramer } from './live/stream-framer.ts'
export { LiveOutput, type LiveOutputOptions } from './live/live-output.ts'
export {
  hasEnded,
  streamDocuments,
  streamEnding,
  streamFramingOf,
  type CutStream,
  type StreamFraming,
} from './live/stream-ending.ts'
export { writtenText } from './live/written-text.ts'
