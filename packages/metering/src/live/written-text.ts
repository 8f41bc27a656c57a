import { outputText } from '../counting/output-text.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

interface Written {
  /** Members whose texts are what a model writes. */
  readonly members: readonly string[]
  /** What arguments of calls stand behind that are no text but an object: only the document itself tells where they end. */
  readonly objects?: RegExp
}

/** By shape; a text that a later event repeats is under none of its members. */
const WRITTEN: Partial<Readonly<Record<string, Written>>> = {
  'openai-chat': {
    members: ['content', 'text', 'refusal', 'reasoning_content', 'reasoning', 'arguments'],
  },
  'openai-responses': { members: ['delta'] },
  anthropic: { members: ['text', 'thinking', 'partial_json'] },
  gemini: { members: ['text'], objects: /"function_?[cC]all"\s*:\s*\{/ },
}
/** Of shapes that are not named above. */
const ELSEWHERE: Written = {
  members: [...WRITTEN['openai-chat']!.members, 'thinking', 'response', 'outputText', 'generation', 'input'],
  objects: /"(?:function_?[cC]all|tool_?[uU]se|tool_calls)"\s*:\s*[[{]/,
}
const patterns = new Map<readonly string[], RegExp>()

/**
 * The texts that a model writes in a piece of a stream, joined: enough to know how much it is, at a small part of what
 * parsing each event costs. Quotes within JSON strings are escaped, so that a member's name in quotes is one.
 *
 * @param events Whole documents of the stream, with their framing.
 */
export function writtenText(shape: UsageShape, events: string): string {
  const { members, objects } = WRITTEN[shape] ?? ELSEWHERE
  if (objects?.test(events) === true) {
    const { texts, toolCalls } = outputText(shape, 'sse', events)
    if (texts.length + toolCalls.length > 0) return texts.join('') + toolCalls.join('')
  }
  let written = ''
  for (const [, text = ''] of events.matchAll(patternOf(members)))
    written += text.includes('\\') ? unescaped(text) : text
  return written
}

function patternOf(members: readonly string[]): RegExp {
  let pattern = patterns.get(members)
  if (pattern === undefined) {
    pattern = new RegExp(`"(?:${members.join('|')})"\\s*:\\s*"([^"\\\\]*(?:\\\\.[^"\\\\]*)*)"`, 'g')
    patterns.set(members, pattern)
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
