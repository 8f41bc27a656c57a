import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { mediaTokens } from './media-rules.ts'
import type { PromptPlanner } from './prompt-plan.ts'
import { lastTurn, type RequestParts } from './request-parts.ts'
import { offsetOf, type Calibrated } from './token-family.ts'

/** Members in which providers hand out thoughts, for themselves to read again. */
const ENCRYPTED: ReadonlySet<string> = new Set([
  'thoughtSignature',
  'thought_signature',
  'signature',
  'encrypted_content',
])

/** Plans the prompt of a model whose tokenizer we don't have, by the figures of its family. */
export function planCalibrated(
  body: Raw,
  parts: RequestParts,
  family: Calibrated,
  model: string | undefined,
  provider: string | undefined,
  into: PromptPlanner,
): void {
  const { prompt, perDigit, perEncrypted } = family
  const [base, tools, must, named] = offsetOf(family, model, provider)
  for (const text of parts.texts) {
    into.text(text, prompt.factor)
    if (perDigit > 0) into.add(perDigit * savedDigits(text))
  }
  into.add(prompt.base + base + prompt.perMessage * Math.max(0, parts.texts.length - 1) + prompt.perCall * parts.calls)
  // What must not be called is not told; Anthropic, whose choices are objects, tells it nevertheless.
  if (parts.tools.length > 0 && body['tool_choice'] !== 'none') {
    const definitions = parts.tools.map(({ name, description, parameters, format }) =>
      JSON.stringify({ name, description, parameters, ...(format === '' ? {} : { format }) }),
    )
    into.text(definitions.join(''), prompt.definitions)
    into.add(prompt.perTools + tools + prompt.perTool * parts.tools.length)
    const { isMust, isNamed } = toolChoice(body)
    into.add((isMust ? prompt.must + must : 0) + (isNamed ? prompt.named + named : 0))
  }
  if (prompt.thinking !== undefined && isAskedToThink(body)) into.add(prompt.thinking)
  if (prompt.schema > 0) into.text(parts.schema, prompt.schema)
  if (perEncrypted > 0) {
    const characters = encryptedCharacters(body)
    if (characters > 0) into.guess(perEncrypted * characters)
  }
  into.media(parts.media, mediaTokens(model))
}

/** Digits that an encoding of three to a token saves against one of single digits. */
export function savedDigits(text: string): number {
  let saved = 0
  for (const [run] of text.matchAll(/\d+/g)) saved += run.length - Math.ceil(run.length / 3)
  return saved
}

/** Whether a request wants some tool to be called, or a named one, in any provider's spelling. */
export function toolChoice(body: Raw): { readonly isMust: boolean; readonly isNamed: boolean } {
  const config = body['toolConfig'] ?? body['tool_config']
  const inConfig = isRaw(config) ? config : {}
  const choice =
    body['tool_choice'] ??
    inConfig['toolChoice'] ??
    inConfig['functionCallingConfig'] ??
    inConfig['function_calling_config']
  if (!isRaw(choice)) return { isMust: choice === 'required' || choice === 'any', isNamed: false }
  const type = choice['type']
  const names = choice['allowedFunctionNames'] ?? choice['allowed_function_names']
  return {
    isMust: type === 'any' || type === 'required' || 'any' in choice || choice['mode'] === 'ANY',
    isNamed: type === 'tool' || type === 'function' || 'tool' in choice || Array.isArray(names),
  }
}

/** Whether thoughts were asked for with a budget, in Anthropic's own spelling or within Bedrock's. */
function isAskedToThink(body: Raw): boolean {
  const more = body['additionalModelRequestFields']
  const thinking = body['thinking'] ?? (isRaw(more) ? more['thinking'] : undefined)
  return isRaw(thinking) && thinking['type'] === 'enabled'
}

/** Encrypted thoughts behind the last message of the user's: those before it are not read again. */
function encryptedCharacters(body: Raw): number {
  const messages = body['contents'] ?? body['input'] ?? body['messages']
  if (!Array.isArray(messages)) return 0
  const last = lastTurn(messages)
  let characters = 0
  const open: unknown[] = messages.slice(last + 1)
  while (open.length > 0) {
    const value = open.pop()
    if (Array.isArray(value)) for (const each of value) open.push(each)
    else if (isRaw(value)) {
      for (const [name, member] of Object.entries(value)) {
        if (typeof member === 'object') open.push(member)
        else if (typeof member === 'string' && ENCRYPTED.has(name)) characters += member.length
      }
    }
  }
  return characters
}
