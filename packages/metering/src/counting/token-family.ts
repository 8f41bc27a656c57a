import { CALIBRATED } from './family-table.ts'
import { openAiTraits, OPENAI_NEWER, type OpenAiTraits } from './openai-traits.ts'

/** Name of a tiktoken encoding that is shipped. */
export type Encoding = 'o200k_base' | 'cl100k_base'

/** What a model or its host adds to its family's `base`, `perTools`, `must` and `named`. */
export type Offset = readonly [base: number, tools: number, must?: number, named?: number]

/** A family's prompts and answers, in tokens of o200k_base. */
export interface Calibrated {
  readonly name: string
  readonly prompt: {
    /** Of the messages' text. */
    readonly factor: number
    readonly base: number
    /** For each message but the first. */
    readonly perMessage: number
    /** For each call of a tool and each result among the messages. */
    readonly perCall: number
    /** Once, where there are tools. */
    readonly perTools: number
    /** Of the tools' definitions as JSON. */
    readonly definitions: number
    readonly perTool: number
    /** Of the answer's JSON schema; many providers count it not at all. */
    readonly schema: number
    /** Where some tool must be called; where a named one must. */
    readonly must: number
    readonly named: number
    /** Where the model is asked to think, with a budget. */
    readonly thinking?: number
  }
  readonly output: {
    readonly factor: number
    readonly base: number
    /** Of the names and arguments of calls. */
    readonly calls: number
    readonly perCall: number
    /** For each member at the top of a call's arguments. */
    readonly perArgument: number
    /** Where some tool must be called; where a named one must. */
    readonly must: number
    readonly named: number
  }
  /** For each digit that o200k_base saves, which puts three into one token: families that count them one by one. */
  readonly perDigit: number
  /** For each character of encrypted thoughts that are sent back within a turn. */
  readonly perEncrypted: number
  readonly offsets: Readonly<Record<string, Offset>>
}

/** Who counts: OpenAI's models by their own encoding and rules, others by calibration. */
export type TokenFamily =
  | {
      readonly name: 'openai'
      readonly encoding: Encoding
      readonly openAi: OpenAiTraits
      readonly calibrated?: undefined
      /** Whether the model is known, or only taken for one of OpenAI's. */
      readonly isKnown: boolean
    }
  | {
      readonly name: string
      readonly encoding: Encoding
      readonly openAi?: undefined
      readonly calibrated: Calibrated
      readonly isKnown: boolean
    }

/**
 * The family of a model, by the beginning of its name and never by a list of names: an unknown or absent one is taken for
 * one of OpenAI's newer models.
 */
export function tokenFamily(model: string | undefined): TokenFamily {
  const name = (model ?? '').slice(0, MOST_CHARACTERS).toLowerCase()
  // Before OpenAI's own: names of others contain theirs (`gpt-oss`, `deepseek-r1-distill-…`).
  const calibrated = CALIBRATED.find(({ pattern }) => pattern.test(name))
  if (calibrated !== undefined) return { name: calibrated.name, encoding: 'o200k_base', calibrated, isKnown: true }
  const traits = openAiTraits(name)
  const openAi = traits ?? OPENAI_NEWER
  return { name: 'openai', encoding: openAi.encoding, openAi, isKnown: traits !== undefined }
}

const MOST_CHARACTERS = 256

/** What a model's name and its host add to the figures of its family. */
export function offsetOf(
  { offsets }: Calibrated,
  model: string | undefined,
  provider: string | undefined,
): Required<Offset> {
  const name = modelKey(model ?? '')
  const host = `@${HOSTS.get(provider) ?? provider ?? ''}`
  const found = [name, host, `${name}${host}`].map((key) => own(offsets, key))
  const sum = (at: 0 | 1 | 2 | 3): number => found.reduce((total, offset) => total + (offset[at] ?? 0), 0)
  return [sum(0), sum(1), sum(2), sum(3)]
}

/** Hosts by their names in OpenTelemetry. */
const HOSTS: ReadonlyMap<string | undefined, string> = new Map([
  ['gcp.gemini', 'google'],
  ['gcp.vertex_ai', 'vertex'],
  ['x_ai', 'xai'],
  ['mistral_ai', 'mistral'],
  ['azure.ai.openai', 'azure'],
  ['azure.ai.inference', 'azure'],
  ['aws.bedrock', 'bedrock'],
])

function own(offsets: Calibrated['offsets'], key: string): Offset {
  return Object.hasOwn(offsets, key) ? (offsets[key] ?? NONE) : NONE
}

const NONE: Offset = [0, 0]
const VENDOR =
  /^(?:(?:us|eu|global|apac|anthropic|amazon|meta|cohere|mistral|google|qwen|openai|deepseek|moonshotai|zai)\.)+/
const VARIANT = /:(?:free|exacto|nitro|\d+)$/
const VERSION =
  /-(?:20\d{6}|\d{4}|\d{3}|latest|preview|exp|v\d+(?::\d+)?|\d{2}-\d{2}|\d{2}-20\d{2}|20\d{2}-\d{2}-\d{2}|0|instruct|versatile|it)$/

/** A model's name without its vendor, date and variant: `us.anthropic.claude-opus-4-1-20250805-v1:0` → `claude-opus-4-1`. */
export function modelKey(model: string): string {
  let name = model.slice(0, MOST_CHARACTERS).toLowerCase().replace(/^.*\//, '').replace(VENDOR, '').replace(VARIANT, '')
  for (let times = 0; times < 4; times += 1) name = name.replace(VERSION, '')
  return name.replaceAll('.', '-')
}
