import { outputText } from '../counting/output-text.ts'
import type { TextPlace } from './text-place.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

interface Written {
  /** Members whose texts are what a model writes. */
  readonly members: readonly string[]
  /** What arguments of calls stand behind that are no text but an object: only the document itself tells where they end. */
  readonly objects?: RegExp
}

/** What a piece of a stream tells. */
export interface WrittenIn {
  readonly text: string
  /** Whether it says of some answer why it ends. */
  readonly mayEnd: boolean
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
/** Why an answer, of several in one stream, ends. */
const REASON = 'finish_reason'
const patterns = new Map<readonly string[], RegExp>()

/**
 * The texts that a model writes in a piece of a stream, joined: enough to know how much it is, at a small part of what
 * parsing each event costs. Quotes within JSON strings are escaped, so that a member's name in quotes is one.
 *
 * @param events Whole documents of the stream, with their framing.
 */
export function writtenText(shape: UsageShape, events: string): string {
  return writtenIn(shape, events).text
}

/** As {@link writtenText}, and whether an answer may end in these events, in one look at them. */
export function writtenIn(shape: UsageShape, events: string, place?: TextPlace): WrittenIn {
  const { members, objects } = WRITTEN[shape] ?? ELSEWHERE
  const repeated = place?.textsIn(events)
  if (repeated !== undefined) return { text: repeated, mayEnd: false }
  if (objects?.test(events) === true) {
    const { texts, toolCalls } = outputText(shape, 'sse', events)
    if (texts.length + toolCalls.length > 0)
      return { text: texts.join('') + toolCalls.join(''), mayEnd: events.includes(`"${REASON}"`) }
  }
  const pattern = patternOf(members)
  let text = ''
  let mayEnd = false
  let [before, last, lastAt] = [0, '', 0]
  pattern.lastIndex = 0
  for (let found = pattern.exec(events); found !== null; found = pattern.exec(events)) {
    const value = found[2]!
    before = lastAt
    last = value
    lastAt = pattern.lastIndex - 1
    if (found[1] !== undefined) mayEnd = true
    else text += value.includes('\\') ? unescaped(value) : value
  }
  if (!mayEnd && last !== '') place?.learn(events, lastAt - last.length, lastAt, before)
  return { text, mayEnd }
}

function patternOf(members: readonly string[]): RegExp {
  let pattern = patterns.get(members)
  if (pattern === undefined) {
    pattern = new RegExp(`"(?:(${REASON})|${members.join('|')})"\\s*:\\s*"([^"\\\\]*(?:\\\\.[^"\\\\]*)*)"`, 'g')
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
