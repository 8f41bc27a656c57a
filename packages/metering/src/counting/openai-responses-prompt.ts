import { isRaw, type Raw } from '../usage/reported-usage.ts'
import {
  compactJson,
  contentText,
  formatText,
  perCeiling,
  planSerial,
  planTools,
  rawList,
  textOr,
  toolsOf,
} from './openai-prompt.ts'
import type { OpenAiTraits } from './openai-traits.ts'
import type { PromptPlanner } from './prompt-plan.ts'

/** Around the JSON schema of an answer. */
const PER_FORMAT = 1
/** Identifiers that OpenAI gives to calls; others were made up by a client. */
const OWN_CALL = /^call_[\dA-Za-z]{20,}$/
/** A call that OpenAI remembers, beside others at once it doesn't count. */
const PER_KEPT_CALL = 3
/** Tools that an item brings, behind the request's own or alone: an introduction, and a namespace by the tool's name. */
const PER_LATER_TOOLS = { behindOwn: 90, alone: 87 } as const
/** Encrypted thoughts are about this many characters for a token, after what the encryption adds. Measured. */
const ENCRYPTED_CHARACTERS = 7.4
const ENCRYPTION_CHARACTERS = 800

/** Plans the prompt of a response, for what of it the request itself has. */
export function planResponses(body: Raw, traits: OpenAiTraits, into: PromptPlanner): void {
  into.add(traits.priming)
  if (typeof body['instructions'] === 'string' && body['instructions'] !== '') {
    into.text(body['instructions'])
    into.add(traits.perMessage)
  }
  const input = body['input']
  const items: readonly Raw[] = typeof input === 'string' ? [{ role: 'user', content: input }] : rawList(input)
  const tools = toolsOf(body)
  planItems(items, tools.length > 0, traits, into)
  if (tools.length > 0) {
    planTools(tools, traits, traits.perResponsesTools + perCeiling(body, traits), into)
    planSerial(body, tools, traits, into)
    const choice = body['tool_choice']
    if (isRaw(choice) && choice['type'] === 'function' && traits.perChoice !== undefined) {
      into.text(`functions.${textOr(choice['name'], '')}`)
      into.add(traits.perChoice - 1)
    }
  }
  const format = isRaw(body['text']) ? body['text']['format'] : undefined
  if (!isRaw(format) || format['type'] !== 'json_schema') return
  into.text(formatText(format))
  into.add(PER_FORMAT + traits.priming - 3)
}

function planItems(items: readonly Raw[], hasTools: boolean, traits: OpenAiTraits, into: PromptPlanner): void {
  const names = new Map<unknown, string>()
  // What was compacted stands for all before it; thoughts are read again only in the turn that they belong to.
  const from = Math.max(
    0,
    items.findLastIndex(({ type }) => type === 'compaction'),
  )
  const turn = items.findLastIndex((item) => item['role'] === 'user')
  for (const [index, item] of items.entries()) {
    if (index < from && item['role'] !== 'system' && item['role'] !== 'developer') continue
    const { type = 'message' } = item
    if (type === 'message') planMessage(item, traits, into)
    else if (isCall(type)) {
      const name = textOr(item['name'], '')
      const whole = `${textOr(item['namespace'], 'functions')}.${name}`
      names.set(item['call_id'], traits.isWholeName ? whole : name)
      into.text(whole)
      const isKept = isKnownCall(item, traits)
      const given = textOr(type === 'function_call' ? item['arguments'] : item['input'], '')
      // What the model wrote is kept as it wrote it, whatever the client made of it; what is unknown is read as sent.
      into.text(isKept && type === 'function_call' ? compactJson(given) : given)
      const isParallel = isCall(items[index - 1]?.['type']) || isCall(items[index + 1]?.['type'])
      into.add(traits.perMessage + traits.perResponsesCall + (isKept && !isParallel ? PER_KEPT_CALL : 0))
    } else if (type === 'function_call_output' || type === 'custom_tool_call_output') {
      into.text(contentText(item['output']))
      into.text(names.get(item['call_id']) ?? '')
      into.add(traits.perMessage + traits.perResult)
    } else if (type === 'additional_tools') planLaterTools(item, hasTools, traits, into)
    else if (type === 'compaction' || (type === 'reasoning' && index > turn)) planEncrypted(item, into)
  }
}

function planLaterTools(item: Raw, hasTools: boolean, traits: OpenAiTraits, into: PromptPlanner): void {
  for (const tool of toolsOf(item)) into.text(tool.name)
  planTools(toolsOf(item), traits, PER_LATER_TOOLS[hasTools ? 'behindOwn' : 'alone'], into)
}

function planMessage(item: Raw, traits: OpenAiTraits, into: PromptPlanner): void {
  const content = contentText(item['content'])
  const isAnswer = item['role'] === 'assistant'
  // An answer without parts is not told; an empty text is.
  if (isAnswer && content === '' && item['content'] !== '') return
  into.text(content)
  into.add(traits.perMessage + (isAnswer ? traits.perAnswer : 0))
}

function planEncrypted(item: Raw, into: PromptPlanner): void {
  const characters = textOr(item['encrypted_content'], '').length - ENCRYPTION_CHARACTERS
  if (characters > 0) into.guess(Math.round(characters / ENCRYPTED_CHARACTERS))
}

/** Whether a call is one that OpenAI remembers, as far as the model tells them from others. */
function isKnownCall(item: Raw, { knowsCalls }: OpenAiTraits): boolean {
  if (knowsCalls === 'all') return true
  return OWN_CALL.test(textOr(item['call_id'], '')) && (knowsCalls === 'by id' || item['status'] !== undefined)
}

function isCall(type: unknown): boolean {
  return type === 'function_call' || type === 'custom_tool_call'
}
