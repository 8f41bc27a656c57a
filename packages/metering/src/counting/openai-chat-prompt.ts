import { isRaw, type Raw } from '../usage/reported-usage.ts'
import {
  compactJson,
  contentText,
  formatText,
  planSerial,
  planTools,
  rawList,
  textOr,
  toolsOf,
} from './openai-prompt.ts'
import type { OpenAiTraits } from './openai-traits.ts'
import type { PromptPlanner } from './prompt-plan.ts'

/** Several calls at once are written as one call of a tool that wraps them; around its JSON, and around the results. */
const PER_PARALLEL = 20
const PER_PARALLEL_RESULT = -5
/** A schema of the answer: in a message of its own, behind instructions, behind tools. */
const PER_FORMAT = { alone: 7, behindInstructions: 3, behindTools: 1 } as const

/** Plans a chat completion's prompt. Each rule was found on recorded requests, by the counts that OpenAI stated. */
export function planChat(body: Raw, traits: OpenAiTraits, into: PromptPlanner): void {
  const tools = toolsOf(body)
  const hasTools = tools.length > 0
  into.add(traits.priming)
  const messages = new ChatMessages(traits, hasTools, into)
  for (const message of rawList(body['messages'])) messages.add(message)
  if (hasTools) {
    planTools(tools, traits, traits.perTools - (messages.hasInstructions ? 4 : 0), into)
    planChoice(body, traits, into)
    planSerial(body, tools, traits, into)
  }
  const format = isRaw(body['response_format']) ? body['response_format']['json_schema'] : undefined
  if (!isRaw(format)) return
  into.text(formatText(format))
  into.add(PER_FORMAT[hasTools ? 'behindTools' : messages.hasInstructions ? 'behindInstructions' : 'alone'])
}

function planChoice(body: Raw, { perChoice }: OpenAiTraits, into: PromptPlanner): void {
  if (perChoice === undefined) return
  const choice = body['tool_choice'] ?? body['function_call']
  if (choice === 'none') into.add(1)
  if (!isRaw(choice)) return
  const named = isRaw(choice['function']) ? choice['function'] : choice
  if (typeof named['name'] !== 'string') return
  into.text(named['name'])
  into.add(body['functions'] === undefined ? perChoice : 4)
}

class ChatMessages {
  readonly #traits: OpenAiTraits
  readonly #hasTools: boolean
  readonly #into: PromptPlanner
  readonly #names = new Map<unknown, string>()
  readonly #parallel = new Set<unknown>()
  hasInstructions = false

  constructor(traits: OpenAiTraits, hasTools: boolean, into: PromptPlanner) {
    this.#traits = traits
    this.#hasTools = hasTools
    this.#into = into
  }

  add(message: Raw): void {
    const role = message['role']
    let content = contentText(message['content'])
    if (role === 'system' || role === 'developer') {
      // Tools are told in the first of them, on a line of their own.
      if (!this.hasInstructions && this.#hasTools && !this.#traits.isBare) content += '\n'
      this.hasInstructions = true
    }
    // Results of calls at once stand in one list, a line each.
    if (role === 'tool' && this.#parallel.has(message['tool_call_id'])) content += '\n'
    this.#into.add(this.#traits.perMessage)
    this.#into.text(content)
    if (role === 'assistant') this.#answer(message, content !== '')
    if (role === 'tool') this.#result(message['tool_call_id'])
    else if (typeof message['name'] === 'string' && !this.#traits.isBare) {
      this.#into.text(message['name'])
      this.#into.add(message['name'] === role ? 0 : 1)
    }
  }

  #answer(message: Raw, hasText: boolean): void {
    this.#into.add(this.#traits.perAnswer)
    this.#into.text(textOr(message['refusal'], ''))
    const legacy = message['function_call']
    if (isRaw(legacy)) this.#call(legacy)
    const calls = rawList(message['tool_calls'])
    const [first] = calls
    if (first === undefined) return
    // Text and calls are two messages.
    if (hasText) this.#into.add(this.#traits.perMessage)
    if (calls.length > 1) this.#parallelCalls(calls)
    else {
      const call = functionOf(first)
      this.#names.set(first['id'], textOr(call['name'], ''))
      this.#call(call)
    }
  }

  #call(call: Raw): void {
    this.#into.text(`functions.${textOr(call['name'], '')}`)
    this.#into.text(compactJson(call['arguments']))
    this.#into.add(this.#traits.perCall)
  }

  #parallelCalls(calls: readonly Raw[]): void {
    const uses = calls.map((call) => {
      const { name, arguments: given } = functionOf(call)
      this.#parallel.add(call['id'])
      // By hand: arguments are JSON already, if they are any.
      return `{"recipient_name":${JSON.stringify(`functions.${textOr(name, '')}`)},"parameters":${compactJson(given)}}`
    })
    this.#into.text(`{"tool_uses":[${uses.join(',')}]}`)
    this.#into.add(PER_PARALLEL)
  }

  /** Whose result it is: the newest models read the tool's whole name. */
  #resultName(callId: unknown): string {
    const name = this.#names.get(callId) ?? ''
    return name !== '' && this.#traits.isWholeName ? `functions.${name}` : name
  }

  #result(callId: unknown): void {
    if (this.#parallel.has(callId)) this.#into.add(PER_PARALLEL_RESULT)
    else {
      this.#into.text(this.#resultName(callId))
      this.#into.add(this.#traits.perResult)
    }
  }
}

function functionOf(call: Raw): Raw {
  return isRaw(call['function']) ? call['function'] : {}
}
