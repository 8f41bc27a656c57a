import { isRaw, type Raw } from '../usage/reported-usage.ts'
import type { OutputCollector } from './output-collector.ts'

/** Members that hold what a model wrote, in the answers of those providers that are documented. */
const TEXTS: ReadonlySet<string> = new Set([
  'text',
  'content',
  'delta',
  'thinking',
  'reasoning',
  'reasoning_content',
  'refusal',
  'response',
  'completion',
  'generation',
  'generated_text',
  'outputText',
  'output_text',
  'transcript',
  'tool_plan',
])
const ARGUMENTS = ['arguments', 'input', 'args', 'parameters', 'partial_json'] as const
/** What is about an answer, or repeats the question. */
const NOT_WRITTEN: ReadonlySet<string> = new Set([
  'usage',
  'meta',
  'metadata',
  'error',
  'prompt',
  'request',
  'annotations',
  'citations',
  'documents',
  'logprobs',
  'trace',
])
const PLACES = ['index', 'output_index', 'content_index', 'contentBlockIndex', 'id'] as const

interface Open {
  readonly value: unknown
  /** Names of the members down to here, and numbers that tell answers and blocks apart. */
  readonly key: string
}

/**
 * Collects what a model wrote out of a document whose shape nobody knows: strings under members that hold text, objects
 * that have a name and arguments. By a list and not by recursion, as documents can be deep.
 */
export function collectAny(document: unknown, into: OutputCollector): void {
  const open: Open[] = [{ value: document, key: '' }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, key } = next
    if (Array.isArray(value)) {
      // Reversed, to keep the order of the text.
      for (let at = value.length - 1; at >= 0; at -= 1)
        open.push({ value: value[at], key: isPlaced(value[at]) ? key : `${key}#${at}` })
    } else if (isRaw(value)) collectObject(value, key, open, into)
  }
}

function collectObject(value: Raw, parent: string, open: Open[], into: OutputCollector): void {
  const key = parent + placeOf(value)
  const given = ARGUMENTS.find((name) => value[name] !== undefined)
  const { name } = value
  if (typeof name === 'string' && given !== undefined) {
    into.toolCall(key, name, value[given])
    return
  }
  for (const [member, inner] of Object.entries(value).toReversed()) {
    if (NOT_WRITTEN.has(member)) continue
    if (typeof inner !== 'string') open.push({ value: inner, key: key.length > 256 ? key : `${key}.${member}` })
    else if (TEXTS.has(member)) into.text(`${key}.${member}`, inner)
    else if (member === given) into.toolCall(key, undefined, inner)
    else if (member === 'name' && (parent.endsWith('toolUse') || parent.endsWith('function'))) into.toolCall(key, inner)
  }
}

function placeOf(value: Raw): string {
  const places = PLACES.map((name) => value[name]).filter((place) => typeof place === 'number')
  return places.length === 0 ? '' : `@${places.join('/')}`
}

function isPlaced(value: unknown): boolean {
  return isRaw(value) && placeOf(value) !== ''
}
