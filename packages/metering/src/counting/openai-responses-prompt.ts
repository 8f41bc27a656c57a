import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { compactJson, contentText, formatText, planTools, rawList, textOr, toolsOf } from './openai-prompt.ts'
import type { OpenAiTraits } from './openai-traits.ts'
import type { PromptPlanner } from './prompt-plan.ts'

/** Around the JSON schema of an answer. */
const PER_FORMAT = 1
/** Calls that follow each other without a result between them cost less. */
const PER_PARALLEL_CALL = -3
/** Tools that an item brings: the introduction that the request's own have. */
const PER_LATER_TOOLS = 91
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
  planItems(items, traits, into)
  const tools = toolsOf(body)
  if (tools.length > 0) {
    planTools(tools, traits, traits.perResponsesTools, into)
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

function planItems(items: readonly Raw[], traits: OpenAiTraits, into: PromptPlanner): void {
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
      names.set(item['call_id'], textOr(item['name'], ''))
      into.text(`functions.${textOr(item['name'], '')}`)
      into.text(type === 'function_call' ? compactJson(item['arguments']) : textOr(item['input'], ''))
      const isParallel = isCall(items[index - 1]?.['type']) || isCall(items[index + 1]?.['type'])
      into.add(traits.perMessage + traits.perResponsesCall + (isParallel ? PER_PARALLEL_CALL : 0))
    } else if (type === 'function_call_output' || type === 'custom_tool_call_output') {
      into.text(contentText(item['output']))
      into.text(names.get(item['call_id']) ?? '')
      into.add(traits.perMessage + traits.perResult)
    } else if (type === 'additional_tools') planTools(toolsOf(item), traits, PER_LATER_TOOLS, into)
    else if (type === 'compaction' || (type === 'reasoning' && index > turn)) planEncrypted(item, into)
  }
}

function planMessage(item: Raw, traits: OpenAiTraits, into: PromptPlanner): void {
  const content = contentText(item['content'])
  const isAnswer = item['role'] === 'assistant'
  // An answer without words is not told.
  if (isAnswer && content === '') return
  into.text(content)
  into.add(traits.perMessage + (isAnswer ? traits.perAnswer : 0))
}

function planEncrypted(item: Raw, into: PromptPlanner): void {
  const characters = textOr(item['encrypted_content'], '').length - ENCRYPTION_CHARACTERS
  if (characters > 0) into.guess(Math.round(characters / ENCRYPTED_CHARACTERS))
}

function isCall(type: unknown): boolean {
  return type === 'function_call' || type === 'custom_tool_call'
}
