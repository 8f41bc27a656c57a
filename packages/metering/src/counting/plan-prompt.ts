import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { planCalibrated } from './calibrated-prompt.ts'
import { mediaTokens } from './media-rules.ts'
import { planChat } from './openai-chat-prompt.ts'
import { perCeiling } from './openai-prompt.ts'
import { planResponses } from './openai-responses-prompt.ts'
import type { OpenAiTraits } from './openai-traits.ts'
import { PromptPlanner, type PromptPlan } from './prompt-plan.ts'
import { requestParts, type RequestParts } from './request-parts.ts'
import { tokenFamily } from './token-family.ts'

/** Whose prompt it is. */
export interface PromptOwner {
  readonly model: string | undefined
  /** Who serves the model, where that makes a difference: hosts have templates of their own. */
  readonly provider?: string | undefined
}

/**
 * How the prompt of a request is counted. The body is read by its members and not by the operation's path, so that
 * unknown hosts and shapes are counted as well. Throws a RangeError for schemas that are nested too deep to be written.
 */
export function planPrompt(body: Raw, { model, provider }: PromptOwner): PromptPlan {
  const family = tokenFamily(model)
  const parts = requestParts(body)
  const into = new PromptPlanner()
  into.add(parts.encoded)
  if (isEmbedding(body)) for (const text of parts.texts) into.text(text)
  else if (family.calibrated !== undefined) planCalibrated(body, parts, family.calibrated, model, provider, into)
  else planOpenAi(body, parts, hostedTraits(family.openAi, provider, body), model, into)
  return into.plan(parts.hasServerState)
}

function planOpenAi(
  body: Raw,
  parts: RequestParts,
  traits: OpenAiTraits,
  model: string | undefined,
  into: PromptPlanner,
): void {
  if (isResponse(body)) planResponses(body, traits, into)
  else if (isChat(body)) planChat(body, traits, into)
  else if (typeof body['prompt'] === 'string' || Array.isArray(body['prompt'])) {
    // Legacy completions: the text and nothing else.
    for (const text of parts.texts) into.text(text)
  } else {
    into.add(traits.priming + traits.perMessage * parts.texts.length)
    for (const text of parts.texts) into.text(text)
    for (const { name, description, parameters } of parts.tools)
      into.text(JSON.stringify({ name, description, parameters }))
    into.text(parts.schema)
  }
  into.media(parts.media, mediaTokens(model))
}

/** OpenRouter passes chat completions of OpenAI's newer models on as responses. */
function hostedTraits(traits: OpenAiTraits, provider: string | undefined, body: Raw): OpenAiTraits {
  if (provider !== 'openrouter' || traits.perTools === traits.perResponsesTools) return traits
  return traits.priming === 2
    ? { ...traits, perTools: traits.perResponsesTools + perCeiling(body, traits), perChoice: undefined }
    : traits
}

function isChat(body: Raw): boolean {
  const { messages } = body
  if (!Array.isArray(messages)) return false
  // Anthropic's and Bedrock's instructions and tools stand elsewhere, and their parts have other names.
  return body['system'] === undefined && body['toolConfig'] === undefined && body['inferenceConfig'] === undefined
}

function isResponse(body: Raw): boolean {
  const { input } = body
  if (typeof input === 'string') return !isEmbedding(body)
  return Array.isArray(input) && input.some((item) => isRaw(item))
}

/** Text to embed: `input` alone, or with how the vectors must look. A response's says more, or comes as messages. */
function isEmbedding(body: Raw): boolean {
  if (isRaw(body['messages']) || Array.isArray(body['messages']) || body['contents'] !== undefined) return false
  const { input } = body
  if (Array.isArray(input))
    return input.every((each) => typeof each !== 'object' || Array.isArray(each)) && input.length > 0
  return typeof input === 'string' && EMBEDDING_MODEL.test(typeof body['model'] === 'string' ? body['model'] : '')
}

const EMBEDDING_MODEL = /embed|voyage|jina|bge-|e5-|gte-|titan-embed/i
