export {
  ADAPTERS,
  dialectOf,
  isFreeRoute,
  matchAdapter,
  pathOf,
  type Adapter,
  type AdapterMatch,
  type RequestShape,
} from './adapter.ts'
export { cutRuns } from './cut-runs.ts'
export { problemBody, problemEvent, type Dialect, type Problem, type ProblemBody, type ProblemKind } from './dialect.ts'
export { estimateAmounts } from './estimate.ts'
export { parseJsonBody, type JsonBody, type JsonBodyFault } from './json-body.ts'
export { JsonPicker, type JsonPicks, type JsonPickTarget } from './json-picker.ts'
export { outputText, type OutputText } from './output-text.ts'
export { promptText, type PromptText } from './prompt-text.ts'
export type { Raw, ReportedUsage } from './reported-usage.ts'
export { readRequestFacts, type RequestFacts } from './request-facts.ts'
export { sseData, sseDocuments } from './sse-event.ts'
export { SseFramer, type SseFrames } from './sse-framer.ts'
export { TokenCounter, type TokenCounterOptions } from './token-counter.ts'
export { tokenFamily, type Encoding, type TokenFamily } from './token-family.ts'
export type { TokenCount, TokenTask } from './token-work.ts'
export { JsonUsageReader, SseUsageReader, type SseFinding, type UsageReading } from './usage-reader.ts'
export { READ_USAGE, type UsageShape } from './usage-shapes.ts'
