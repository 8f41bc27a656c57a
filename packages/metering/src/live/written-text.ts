import { outputText } from '../counting/output-text.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

/** Members whose texts are what a model writes, by shape; a text that a later event repeats is under none of them. */
const WRITTEN: Partial<Readonly<Record<string, readonly string[]>>> = {
  'openai-responses': ['delta'],
  anthropic: ['text', 'thinking', 'partial_json'],
}
/** Of shapes that are not named above: nobody repeats what was written under these. */
const WRITTEN_ELSEWHERE = [
  'content',
  'text',
  'refusal',
  'reasoning_content',
  'reasoning',
  'thinking',
  'arguments',
  'response',
  'outputText',
  'generation',
]
/** Arguments of a call that are no text but an object: only the document itself tells where they end. */
const CALLS_AS_OBJECTS = /"function_?[cC]all"\s*:\s*\{|"tool_?[uU]se"\s*:\s*\{/
const patterns = new Map<string, RegExp>()

/**
 * The texts that a model writes in a piece of a stream, joined: enough to know how much it is, at a small part of what
 * parsing each event costs. Quotes within JSON strings are escaped, so that a member's name in quotes is one.
 *
 * @param events Whole documents of the stream, with their framing.
 */
export function writtenText(shape: UsageShape, events: string): string {
  if (CALLS_AS_OBJECTS.test(events)) {
    const { texts, toolCalls } = outputText(shape, 'sse', events)
    if (texts.length + toolCalls.length > 0) return texts.join('') + toolCalls.join('')
  }
  let written = ''
  for (const [, text = ''] of events.matchAll(patternOf(shape))) written += text.includes('\\') ? unescaped(text) : text
  return written
}

function patternOf(shape: string): RegExp {
  let pattern = patterns.get(shape)
  if (pattern === undefined) {
    const names = WRITTEN[shape] ?? WRITTEN_ELSEWHERE
    pattern = new RegExp(`"(?:${names.join('|')})"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"`, 'g')
    patterns.set(shape, pattern)
  }
  return pattern
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return text
  }
}
