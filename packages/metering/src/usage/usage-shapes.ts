import { figure, isRaw, known, type Raw, type ReportedUsage } from './reported-usage.ts'

/** How a provider shapes its usage object. Known by shape, not by host, so that compatible providers work. */
export type UsageShape = 'openai-chat' | 'openai-responses' | 'anthropic' | 'gemini'

/** Brings a provider's usage object to one meaning. `undefined`: there are no token figures in it. */
export const READ_USAGE: Readonly<Record<UsageShape, (raw: Raw) => ReportedUsage | undefined>> = {
  'openai-chat': readOpenAiChat,
  'openai-responses': readOpenAiResponses,
  anthropic: readAnthropic,
  gemini: readGemini,
}

/**
 * Prompt includes cached, completion mostly includes reasoning. Where a total says more than prompt plus completion, the
 * gap is what the parts left out: reasoning or audio if it equals them, else output.
 * Source: OpenAI API reference, chat completion object, `usage`.
 */
function readOpenAiChat(raw: Raw): ReportedUsage | undefined {
  const prompt = figure(raw, 'prompt_tokens')
  const completion = figure(raw, 'completion_tokens')
  const total = figure(raw, 'total_tokens')
  if (prompt === undefined && completion === undefined && total === undefined) return undefined
  const inputDetails = raw['prompt_tokens_details']
  const reasoning = figure(raw['completion_tokens_details'], 'reasoning_tokens') ?? figure(raw, 'reasoning_tokens')
  const cacheRead =
    figure(inputDetails, 'cached_tokens') ?? figure(raw, 'prompt_cache_hit_tokens') ?? figure(raw, 'cached_tokens')
  const gap = (total ?? 0) - (prompt ?? 0) - (completion ?? 0)
  const isAudioInput = gap > 0 && gap !== reasoning && gap === figure(inputDetails, 'audio_tokens')
  return {
    input: isAudioInput ? (prompt ?? 0) + gap : prompt,
    output: gap > 0 && !isAudioInput ? (completion ?? 0) + gap : completion,
    total: total ?? known(prompt, completion),
    cacheRead,
    cacheWrite: figure(inputDetails, 'cache_write_tokens'),
    reasoning,
    ...(gap > 0 && gap !== reasoning && !isAudioInput ? { flags: ['total-gap'] } : {}),
  }
}

/** Some hosts answer with the figures of chat completions. Source: OpenAI API reference, response object, `usage`. */
function readOpenAiResponses(raw: Raw): ReportedUsage | undefined {
  if (figure(raw, 'prompt_tokens') !== undefined) return readOpenAiChat(raw)
  const input = figure(raw, 'input_tokens')
  const output = figure(raw, 'output_tokens')
  const total = figure(raw, 'total_tokens')
  if (input === undefined && output === undefined && total === undefined) return undefined
  const inputDetails = raw['input_tokens_details']
  return {
    input,
    output,
    total: total ?? known(input, output),
    cacheRead: figure(inputDetails, 'cached_tokens'),
    cacheWrite: figure(inputDetails, 'cache_write_tokens'),
    reasoning: figure(raw['output_tokens_details'], 'reasoning_tokens'),
  }
}

/**
 * Input leaves out what was read from and written to the cache; output includes thinking. Compaction runs before the
 * answer stand in `iterations` alone, so those are summed where there are any.
 * Source: Anthropic API reference, Messages, `usage`.
 */
function readAnthropic(raw: Raw): ReportedUsage | undefined {
  const iterations = Array.isArray(raw['iterations']) ? raw['iterations'].filter(isRaw) : []
  const isCompacted = iterations.some((iteration) => iteration['type'] === 'compaction')
  const parts = isCompacted ? iterations : [raw]
  const sum = (name: string): number | undefined => known(...parts.map((part) => figure(part, name)))
  const fresh = sum('input_tokens')
  const output = sum('output_tokens')
  const cacheRead = sum('cache_read_input_tokens')
  const cacheWrite = sum('cache_creation_input_tokens')
  if (fresh === undefined && output === undefined) return undefined
  const input = fresh === undefined ? undefined : known(fresh, cacheRead, cacheWrite)
  return {
    input,
    output,
    total: known(input, output),
    // What is left out of input is stated whenever there is some.
    cacheRead: cacheRead ?? noneUnless(parts, 'cache_read_input_tokens'),
    cacheWrite: cacheWrite ?? noneUnless(parts, 'cache_creation_input_tokens'),
    reasoning: figure(raw['output_tokens_details'], 'thinking_tokens'),
  }
}

/**
 * Prompt includes cached content and leaves out what tools put in; candidates leave out thoughts.
 * Source: Gemini API reference, GenerateContentResponse, `UsageMetadata`.
 */
function readGemini(raw: Raw): ReportedUsage | undefined {
  const prompt = figure(raw, 'promptTokenCount')
  const candidates = figure(raw, 'candidatesTokenCount')
  const thoughts = figure(raw, 'thoughtsTokenCount')
  const total = figure(raw, 'totalTokenCount')
  if (prompt === undefined && candidates === undefined && total === undefined) return undefined
  const input = known(prompt, figure(raw, 'toolUsePromptTokenCount'))
  // Nothing generated is stated by leaving the count out.
  const output = known(candidates ?? noneUnless([raw], 'candidatesTokenCount'), thoughts)
  return {
    input,
    output,
    total: total ?? known(input, output),
    cacheRead: figure(raw, 'cachedContentTokenCount'),
    reasoning: thoughts,
  }
}

/** 0 where nothing is said, as its provider means it so; unknown where something is said that is no figure. */
function noneUnless(parts: readonly Raw[], name: string): 0 | undefined {
  return parts.every((part) => part[name] === undefined || part[name] === null) ? 0 : undefined
}
