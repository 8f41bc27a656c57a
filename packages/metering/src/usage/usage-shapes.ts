import type { JsonPicks } from '../framing/json-picker.ts'
import { readFigures } from './read-figures.ts'
import type { Raw, ReportedUsage } from './reported-usage.ts'
import type { WordsName } from './usage-words.ts'

/** How an operation states its usage. Known by shape, not by host, so that compatible providers work. */
export type UsageShape =
  | 'openai-chat'
  | 'openai-responses'
  | 'anthropic'
  | 'gemini'
  | 'interactions'
  | 'converse'
  | 'invoke'
  | 'cohere'
  | 'ollama'
  | 'native'
  | 'embeddings'
  | 'media'
  | 'realtime'
  | 'count'

/**
 * Bytes without which a document states no usage. Without the quote that its name begins with: a search for a rarer byte
 * is five times as fast.
 */
export interface Needle {
  readonly bytes: Buffer
  /** Whether an object must follow them. */
  readonly isObject: boolean
}

/** How the last event of a stream is known, so that it can wait for the ledger. */
export interface StreamEnd {
  /** Text in the tail of an event stream, and the whole of the line that it stands in. */
  readonly line?: { readonly bytes: Buffer; readonly pattern: RegExp } | undefined
  /** Members of a document, one of which has this value in the last one. Such documents hold a needle. */
  readonly members?: readonly (readonly [member: string, value: unknown])[] | undefined
}

/**
 * What becomes of objects that follow each other: of each kind of figure the last counts (`merge`) or the largest
 * (`max`), the last object does (`replace`), or all are added (`sum`).
 */
export type UsageTake = 'merge' | 'max' | 'replace' | 'sum'

/** A place in a document where usage can stand. */
export interface UsagePlace {
  /** Members from the top, joined by dots; `[]` is each element of an array; empty: the document itself. */
  readonly path: string
  /** Of several places the one with the lowest rank counts; those of one rank are merged. Default: 0. */
  readonly rank?: number
  /** Words that are meant where the members leave it open. */
  readonly words?: WordsName
  /** Default: `merge`. */
  readonly take?: UsageTake
  /** Figures there do not cover the output that follows. */
  readonly isHead?: boolean
}

/** A place as a reader goes to it. */
export interface PlaceRow extends Omit<UsagePlace, 'take'> {
  readonly rank: number
  readonly take: UsageTake | undefined
  readonly steps: readonly string[]
}

/** One row of the table of shapes. */
export interface ShapeRow {
  readonly places: readonly PlaceRow[]
  /** Members of the document itself that are figures, or hold some. */
  readonly own: readonly string[]
  /** A member and its value in a document that something else than the model wrote, and whose own figures say nothing. */
  readonly blocked: readonly [member: string, value: string] | undefined
  /** Members that can matter, for picking them out of a long document. */
  readonly picks: JsonPicks
  /** One of them is in every document that states usage or ends a stream by its members. */
  readonly needles: readonly Needle[]
  readonly end: StreamEnd
  /** Bytes of which the document has some that ends its stream by its members; empty where none does. */
  readonly closings: readonly Buffer[]
  /** The operation has no output: a total is its input. */
  readonly isInputOnly: boolean
}

const object = (name: string): Needle => ({ bytes: Buffer.from(`${name}"`), isObject: true })
const text = (bytes: string): Needle => ({ bytes: Buffer.from(bytes), isObject: false })
const USAGE = object('usage')
/** Members that every shape is asked for: who answered, in which class of service, and whether it goes on. */
const ALWAYS: JsonPicks = {
  type: true,
  model: true,
  modelVersion: true,
  status: true,
  service_tier: true,
  message: { model: true },
  response: { model: true, service_tier: true },
}
const DONE_LINE = { bytes: Buffer.from('[DONE]'), pattern: /(?:^|[\r\n])data: ?\[DONE\]\s*$/ }

interface Declared {
  readonly places: readonly UsagePlace[]
  readonly needles: readonly Needle[]
  readonly end?: StreamEnd
  readonly own?: JsonPicks
  readonly blocked?: readonly [member: string, value: string]
  readonly more?: JsonPicks
  readonly isInputOnly?: boolean
}

const OLLAMA_MEMBERS: JsonPicks = { prompt_eval_count: true, eval_count: true }
const TITAN_MEMBERS: JsonPicks = { inputTextTokenCount: true, totalOutputTextTokenCount: true }
/** What embeddings, also of other hosts, are answered with. */
const EMBEDDING_PLACES: readonly UsagePlace[] = [
  { path: 'usageMetadata', rank: 1 },
  { path: 'predictions.[].embeddings.statistics', rank: 2, take: 'sum' },
  { path: 'meta', rank: 3 },
]

const DECLARED: Readonly<Record<UsageShape, Declared>> = {
  'openai-chat': {
    // A host that answers in other words than its path promises is still understood.
    places: [
      { path: 'usage' },
      { path: 'x_groq.usage' },
      { path: 'choices.[].usage', rank: 1, take: 'merge' },
      ...EMBEDDING_PLACES.map((place) => ({ ...place, rank: place.rank! + 1 })),
    ],
    needles: [USAGE],
    end: { line: DONE_LINE },
  },
  'openai-responses': {
    places: [{ path: 'response.usage' }, { path: 'usage' }],
    needles: [USAGE],
    end: {
      // Some compatible hosts add it.
      line: DONE_LINE,
      members: [
        ['type', 'response.completed'],
        ['type', 'response.incomplete'],
        ['type', 'response.failed'],
      ],
    },
  },
  anthropic: {
    // The start of a message states its input, its deltas are cumulative: the last figure of each kind counts.
    places: [
      { path: 'message.usage', words: 'anthropic', isHead: true },
      { path: 'usage', words: 'anthropic' },
    ],
    needles: [USAGE],
    end: {
      line: {
        bytes: Buffer.from('message_stop'),
        pattern: /(?:^|[\r\n])(?:event: ?message_stop *[\r\n]|data: ?\{\s*"type"\s*:\s*"message_stop"\s*\}\s*$)/,
      },
    },
  },
  gemini: {
    places: [
      { path: 'usageMetadata', take: 'replace' },
      { path: 'response.usageMetadata', take: 'replace' },
    ],
    needles: [text('TokenCount"')],
    more: { response: { modelVersion: true } },
  },
  interactions: {
    places: [{ path: 'usage' }, { path: 'interaction.usage' }, { path: 'metadata.usage' }],
    needles: [USAGE],
    end: {
      line: DONE_LINE,
      members: [
        ['event_type', 'interaction.complete'],
        ['event_type', 'interaction.completed'],
      ],
    },
    more: { event_type: true, interaction: { model: true } },
  },
  converse: {
    places: [{ path: 'usage' }, { path: 'metadata.usage' }],
    needles: [USAGE],
  },
  invoke: {
    // The model's own words, then Bedrock's; Cohere's own count differs from what Bedrock counts, and comes last.
    places: [
      { path: 'usage', words: 'anthropic' },
      { path: 'message.usage', words: 'anthropic', isHead: true },
      { path: 'metadata.usage' },
      { path: 'amazon-bedrock-invocationMetrics', rank: 1 },
      { path: '', rank: 2 },
      { path: 'response.meta', rank: 4 },
      { path: 'meta', rank: 4 },
    ],
    needles: [
      USAGE,
      text('amazon-bedrock-invocationMetrics"'),
      text('TokenCount"'),
      text('_token_count"'),
      object('meta'),
    ],
    own: {
      ...TITAN_MEMBERS,
      results: { '[]': { tokenCount: true } },
      prompt_token_count: true,
      generation_token_count: true,
    },
    more: { 'amazon-bedrock-guardrailAction': true },
    // A guardrail that stops the input answers in the model's place, which is not called then.
    blocked: ['amazon-bedrock-guardrailAction', 'INTERVENED'],
  },
  cohere: {
    places: [{ path: 'usage' }, { path: 'delta.usage' }, { path: 'meta' }, { path: 'response.meta' }],
    needles: [USAGE, object('meta'), text('is_finished":true'), text('is_finished": true')],
    end: {
      line: DONE_LINE,
      members: [
        ['is_finished', true],
        ['event_type', 'stream-end'],
      ],
    },
    more: { is_finished: true, event_type: true },
  },
  ollama: {
    places: [{ path: '' }, { path: 'usage', rank: 1 }],
    needles: [text('eval_count"'), text('done":true'), text('done": true')],
    end: { members: [['done', true]] },
    own: OLLAMA_MEMBERS,
    more: { done: true },
  },
  native: {
    places: [
      { path: 'usage' },
      { path: 'details', rank: 1 },
      { path: 'results.[]', rank: 2, take: 'max' },
      { path: 'metrics', rank: 3 },
      { path: '', rank: 4 },
    ],
    needles: [
      USAGE,
      text('generated_tokens"'),
      text('token_count"'),
      text('tokens_predicted"'),
      text('tokens_evaluated"'),
    ],
    end: { members: [['stop', true]] },
    own: { tokens_predicted: true, tokens_evaluated: true, timings: true },
    more: { stop: true, results: { '[]': { input_token_count: true, generated_token_count: true } } },
  },
  embeddings: {
    places: [{ path: 'usage' }, ...EMBEDDING_PLACES, { path: '', rank: 4 }],
    needles: [USAGE],
    own: { ...OLLAMA_MEMBERS, ...TITAN_MEMBERS, input_token_count: true },
    isInputOnly: true,
  },
  media: {
    places: [{ path: 'usage' }],
    needles: [USAGE],
    end: { line: DONE_LINE },
    more: { data: 'length', duration: true },
  },
  realtime: {
    places: [
      { path: 'response.usage', take: 'sum' },
      { path: 'usage', take: 'sum' },
      { path: 'usageMetadata', take: 'sum' },
    ],
    needles: [USAGE, text('TokenCount"')],
    more: { session: { model: true } },
  },
  count: {
    places: [{ path: '' }, { path: 'usage', rank: 1 }, { path: 'meta', rank: 2 }],
    needles: [text('okens"')],
    own: { input_tokens: true, inputTokens: true, totalTokens: true, total_tokens: true },
    isInputOnly: true,
  },
}

/** The table of shapes. */
export const USAGE_SHAPES = Object.fromEntries(
  Object.entries<Declared>(DECLARED).map(([name, declared]) => [name, rowOf(declared)]),
) as Readonly<Record<UsageShape, ShapeRow>>

function rowOf({ places, needles, end = {}, own = {}, blocked, more = {}, isInputOnly = false }: Declared): ShapeRow {
  const picks = places
    .filter(({ path }) => path !== '')
    .reduce((all, { path }) => withPick(all, path.split('.')), merged(ALWAYS, merged(own, more)))
  const rows = places.map((place) => {
    return { ...place, rank: place.rank ?? 0, take: place.take, steps: place.path === '' ? [] : place.path.split('.') }
  })
  const closings = (end.members ?? []).flatMap(([, value]) => (typeof value === 'string' ? [endOf(value)] : []))
  return { places: rows, own: Object.keys(own), blocked, picks, needles, end, closings, isInputOnly }
}

/** The end of a value, from its dot on: there are fewer dots in a document than quotes. */
function endOf(value: string): Buffer {
  return Buffer.from(`${value.slice(Math.max(0, value.lastIndexOf('.')))}"`)
}

function withPick(picks: JsonPicks, [name, ...rest]: readonly string[]): JsonPicks {
  const inside = picks[name!]
  if (inside === true || name === undefined) return picks
  if (rest.length === 0) return typeof inside === 'object' ? picks : { ...picks, [name]: true }
  return { ...picks, [name]: withPick(typeof inside === 'object' ? inside : {}, rest) }
}

function merged(one: JsonPicks, other: JsonPicks): JsonPicks {
  const all: Record<string, JsonPicks[string]> = { ...one }
  for (const [name, pick] of Object.entries(other)) {
    const before = all[name]
    all[name] = typeof before === 'object' && typeof pick === 'object' ? merged(before, pick) : pick
  }
  return all
}

/** Brings a usage object of a shape to one meaning. `undefined`: there are no figures in it. */
export function readUsage(shape: UsageShape, raw: Raw): ReportedUsage | undefined {
  const { places, isInputOnly } = USAGE_SHAPES[shape]
  return asInput(readFigures(raw, places[0]?.words), isInputOnly)
}

/** Figures of an operation that has no output: its total is its input. */
export function asInput(usage: ReportedUsage | undefined, isInputOnly: boolean): ReportedUsage | undefined {
  if (usage === undefined || !isInputOnly) return usage
  const input = usage.input ?? usage.total
  return input === undefined ? usage : { ...usage, input, output: usage.output ?? 0, total: usage.total ?? input }
}
