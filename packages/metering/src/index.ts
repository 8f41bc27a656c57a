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
export { pathOf } from './table/request-path.ts'
export { type MemberPath, type RequestShape } from './table/request-shape.ts'
export { cutRuns } from './counting/cut-runs.ts'
export { problemBody, problemEvent, type Dialect, type Problem, type ProblemBody, type ProblemKind } from './dialect.ts'
export { estimateAmounts } from './request/estimate.ts'
export { isFormType, parseFormBody, type BodyFault, type FormBody } from './request/form-body.ts'
export { parseJsonBody, type JsonBody, type JsonBodyFault } from './request/json-body.ts'
export { JsonPicker, type JsonPick, type JsonPicks, type JsonPickTarget } from './framing/json-picker.ts'
export { outputText, type OutputText } from './counting/output-text.ts'
export { promptText, type PromptText } from './counting/prompt-text.ts'
export type { Raw, ReportedUsage } from './usage/reported-usage.ts'
export { readRequestFacts, type RequestFacts } from './request/request-facts.ts'
export { sseData, sseDocuments } from './framing/sse-event.ts'
export { SseFramer } from './framing/sse-framer.ts'
export type { Frames } from './framing/framer.ts'
export { documentsOf } from './framing/documents.ts'
export type { Framing } from './framing/framing.ts'
export { KeptOutput } from './framing/kept-output.ts'
export { TokenCounter, type TokenCounterOptions } from './counting/token-counter.ts'
export { tokenFamily, type Encoding, type TokenFamily } from './counting/token-family.ts'
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
