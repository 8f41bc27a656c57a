import type { JsonPicks, JsonPickTarget } from '../framing/json-picker.ts'
import { isRaw, type Raw, type ReportedUsage } from './reported-usage.ts'
import { READ_USAGE, type UsageShape } from './usage-shapes.ts'

/** What a reader has learned of an answer so far. */
export interface UsageReading {
  /** The provider's figures; absent as long as it stated none. */
  readonly reported: ReportedUsage | undefined
  /** Whether the figures cover all output up to the event that stated them. */
  readonly coversOutput: boolean
  readonly model: string | undefined
  /** Whether the provider goes on after this answer, and will state what it used elsewhere. */
  readonly isPending: boolean
  /** Whether part of the answer was damaged on its way, so that figures may be missing. */
  readonly isDamaged?: boolean
}

/** Members that can matter, whatever the shape. */
export const PICKS: JsonPicks = {
  type: true,
  model: true,
  modelVersion: true,
  usage: true,
  usageMetadata: true,
  message: { model: true, usage: true },
  response: { model: true, usage: true },
  status: true,
  x_groq: { usage: true },
}

/** Bytes without which an event states no usage; with `isObject`, an object must follow them. */
export const NEEDLES: Readonly<Record<UsageShape, { readonly bytes: Buffer; readonly isObject: boolean }>> = {
  'openai-chat': { bytes: Buffer.from('"usage"'), isObject: true },
  'openai-responses': { bytes: Buffer.from('"usage"'), isObject: true },
  anthropic: { bytes: Buffer.from('"usage"'), isObject: true },
  gemini: { bytes: Buffer.from('TokenCount"'), isObject: false },
}

/** The text in the last event of a stream, and the whole of that event's line. */
export const TERMINALS: Readonly<Record<UsageShape, { readonly bytes: Buffer; readonly line: RegExp } | undefined>> = {
  'openai-chat': { bytes: Buffer.from('[DONE]'), line: /(?:^|[\r\n])data: ?\[DONE\]\s*$/ },
  'openai-responses': undefined,
  anthropic: {
    bytes: Buffer.from('message_stop'),
    line: /(?:^|[\r\n])(?:event: ?message_stop *[\r\n]|data: ?\{\s*"type"\s*:\s*"message_stop"\s*\}\s*$)/,
  },
  gemini: undefined,
}

export const RESPONSES_END: ReadonlySet<unknown> = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
])

/** Finds the usage of one answer in the documents it consists of: one body, or the data of each event. */
export class UsageCollector implements JsonPickTarget {
  readonly shape: UsageShape
  #raw: Raw | undefined
  #model: string | undefined
  #coversOutput = false
  #isPending = false

  constructor(shape: UsageShape) {
    this.shape = shape
  }

  get reading(): UsageReading {
    const reported = this.#raw === undefined ? undefined : READ_USAGE[this.shape](this.#raw)
    return { reported, coversOutput: this.#coversOutput, model: this.#model, isPending: this.#isPending }
  }

  /** Takes what a document says. Returns whether it stated figures that cover all output so far. */
  absorb(document: Raw): boolean {
    const nested = this.shape === 'anthropic' ? document['message'] : document['response']
    this.#absorbModel(document['model'] ?? document['modelVersion'] ?? (isRaw(nested) ? nested['model'] : undefined))
    const { status } = document
    if (this.shape === 'openai-responses' && status !== undefined)
      this.#isPending = status === 'queued' || status === 'in_progress'
    switch (this.shape) {
      case 'anthropic': {
        // The start of a message states its input, its deltas are cumulative: the last figure of each kind counts.
        const atStart = isRaw(nested) ? nested['usage'] : undefined
        const usage = document['usage']
        if (isRaw(atStart)) this.#merge(atStart)
        if (!isRaw(usage)) return false
        this.#merge(usage)
        break
      }
      case 'gemini': {
        const usage = document['usageMetadata']
        if (!isRaw(usage) || READ_USAGE.gemini(usage) === undefined) return false
        this.#raw = usage
        break
      }
      default: {
        const inside = isRaw(nested) ? nested : document['x_groq']
        const usage = document['usage'] ?? (isRaw(inside) ? inside['usage'] : undefined)
        if (!isRaw(usage)) return false
        this.#merge(usage)
      }
    }
    this.#coversOutput = true
    return true
  }

  /** Takes a member of a document, as a picker finds it. Returns as {@link absorb}. */
  pick(path: string, value: unknown): boolean {
    return this.absorb(nest(path, value))
  }

  #absorbModel(model: unknown): void {
    if (typeof model === 'string' && model !== '') this.#model = model.slice(0, 256)
  }

  #merge(usage: Raw): void {
    const merged: Record<string, unknown> = { ...this.#raw }
    for (const [name, value] of Object.entries(usage)) {
      if (value !== null && value !== undefined) merged[name] = value
    }
    this.#raw = merged
  }
}

/** `a.b` and a value as `{a: {b: value}}`. */
function nest(path: string, value: unknown): Raw {
  const dot = path.indexOf('.')
  return dot === -1 ? { [path]: value } : { [path.slice(0, dot)]: nest(path.slice(dot + 1), value) }
}
