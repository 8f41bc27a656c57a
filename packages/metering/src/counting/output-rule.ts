import { isRaw, type Raw } from '../usage/reported-usage.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'
import { toolChoice } from './calibrated-prompt.ts'
import type { TokenFamily } from './token-family.ts'
import { toolDefinitions } from './tool-definition.ts'

/** Tokens of an answer's pieces, before what a model writes around them. */
export interface WrittenTokens {
  readonly texts: number
  readonly calls: number
  /** Of the names among `calls`. */
  readonly names: number
  readonly callCount: number
  /** Members at the top of the calls' arguments. */
  readonly argumentCount: number
}

/** What a model writes around its words and calls, in tokens. */
interface Around {
  readonly text: number
  readonly call: number
  /** For each call, where there are several: they are written as one call of a tool that wraps them. */
  readonly parallel: (calls: number) => number
}

const CHAT: Around = { text: 0, call: 7, parallel: (calls) => 14 * calls }
const RESPONSES: Around = { text: 1, call: 8, parallel: (calls) => 31 + 7 * (calls - 2) }

/** By the beginning of a model's name: in chat completions, in responses. Measured; thoughts are not in it. */
const AROUND: readonly (readonly [RegExp, Around, Around])[] = [
  [/(?:^|[/:.])gpt-?5\.[2-9]/, { ...CHAT, text: 3, call: 10 }, { ...RESPONSES, text: 4, call: 11 }],
  [/(?:^|[/:.])gpt-?5(?!-chat)/, { ...CHAT, text: 9, call: 16 }, { ...RESPONSES, text: 6, call: 13 }],
  [/(?:^|[/:.])o(?:1|3-mini)/, { ...CHAT, text: 11 }, { ...RESPONSES, text: 1, call: 9 }],
  [/(?:^|[/:.])(?:o[3-9]|codex)/, { ...CHAT, text: 11, call: 13 }, { ...RESPONSES, text: 6, call: 13 }],
  [/gpt-4(?:-32k)?(?:-0314|-0613)?$/, { ...CHAT, call: 4 }, RESPONSES],
  [/(?:)/, CHAT, RESPONSES],
]
/** Models that think without showing it: what they wrote is less than what they used. */
const HIDES_THOUGHTS =
  /(?:^|[/:.])(?:o[1-9](?![a-z\d])|gpt-?5(?!-chat)|codex)|grok-(?:3-mini|4(?!.*non-reasoning)|code)|gemini-(?:2\.5|[3-9])/

/** Tokens of an answer that broke off: without what models write around their words, or at their end. */
export function outputTokensSoFar({ texts, calls }: WrittenTokens, { calibrated }: TokenFamily): number {
  return calibrated === undefined ? texts + calls : texts * calibrated.output.factor + calls * calibrated.output.calls
}

/** Tokens of an answer. Takes what its request says into account, where that is there. */
export function outputTokens(
  written: WrittenTokens,
  family: TokenFamily,
  shape: UsageShape | undefined,
  model: string | undefined,
  request: Raw | undefined,
): number {
  const { texts, calls, names, callCount, argumentCount } = written
  if (texts === 0 && calls === 0) return 0
  if (family.calibrated !== undefined) {
    const { output } = family.calibrated
    const { isMust, isNamed } = request === undefined || callCount === 0 ? NO_CHOICE : toolChoice(request)
    const chosen = isNamed ? output.named : isMust ? output.must : 0
    const ofCalls = calls * output.calls + callCount * output.perCall + argumentCount * output.perArgument + chosen
    return Math.max(0, texts * output.factor + output.base + ofCalls)
  }
  const name = (model ?? '').toLowerCase()
  const [, chat, responses] = AROUND.find(([pattern]) => pattern.test(name)) ?? [undefined, CHAT, RESPONSES]
  const isLegacy = request !== undefined && request['messages'] === undefined && request['input'] === undefined
  const around = isLegacy ? { ...CHAT, call: 0 } : shape === 'openai-responses' ? responses : chat
  // A call that the request names is its arguments, and nothing else.
  if (callCount === 1 && texts === 0 && isForced(request)) return calls - names
  const ofTexts = texts === 0 ? 0 : texts + around.text + (callCount === 0 ? besideTools(request) : 0)
  const ofCalls = callCount === 0 ? 0 : calls + (callCount === 1 ? around.call : around.parallel(callCount))
  return atMost(ofTexts + ofCalls, request)
}

const NO_CHOICE = { isMust: false, isNamed: false } as const

/** Whether a model's answers cost more than what of them can be seen. */
export function hidesThoughts(model: string | undefined): boolean {
  return HIDES_THOUGHTS.test((model ?? '').toLowerCase())
}

function isForced(request: Raw | undefined): boolean {
  const choice = request?.['tool_choice'] ?? request?.['function_call']
  return (
    isRaw(choice) &&
    choice['type'] !== 'allowed_tools' &&
    (isRaw(choice['function']) || typeof choice['name'] === 'string')
  )
}

/** Where there are tools, a model says that it calls none, and, under a schema, that it answers by it. */
function besideTools(request: Raw | undefined): number {
  if (request === undefined || toolDefinitions(request).tools.length === 0) return 0
  const { response_format: ofChat, text } = request
  const format = isRaw(ofChat) ? ofChat : isRaw(text) && isRaw(text['format']) ? text['format'] : {}
  return format['type'] === 'json_schema' ? 5 : 1
}

/** An answer that was cut off at its ceiling is as long as that, without an end. */
function atMost(tokens: number, request: Raw | undefined): number {
  const ceilings = [request?.['max_tokens'], request?.['max_completion_tokens'], request?.['max_output_tokens']]
  const n = request?.['n']
  if (typeof n === 'number' && n > 1) return tokens
  return Math.min(tokens, ...(ceilings.filter((each) => typeof each === 'number' && each > 0) as number[]))
}
