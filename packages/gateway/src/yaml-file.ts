import { readFileSync } from 'node:fs'
import { QuotaError } from '@tallygate/core'
import { isScalar, LineCounter, parseDocument, visit, type Document } from 'yaml'
import { z } from 'zod'
import type { Mistake } from './contradictions.ts'
import { expanded, type Environment } from './environment.ts'
import { mistakesOf, whatToWrite } from './schema-mistakes.ts'

const WHOLE = /^\$\{[^}]+\}$/
const NUMBER = /^-?(?:0|[1-9]\d{0,14})$/

/** A mistake in a configuration file, with its place. */
export interface ConfigMistake {
  readonly line: number
  readonly column: number
  /** `plans.pro.limits.0.quota`. */
  readonly key: string
  readonly message: string
}

/** Everything that is wrong with a configuration, one line each: `quota.yaml:12:7: plans.pro: …`. */
export class ConfigError extends QuotaError {
  /** Of all of them. */
  readonly file: string
  readonly mistakes: readonly ConfigMistake[]

  constructor(file: string, mistakes: readonly ConfigMistake[]) {
    const lines = mistakes.map(
      ({ line, column, key, message }) => `${file}:${line}:${column}: ${key === '' ? '' : `${key}: `}${message}`,
    )
    super('ERR_QUOTA_CONFIG', lines.join('\n'))
    this.file = file
    this.mistakes = mistakes
  }
}

/** A file that fits its schema, and where in it things stand. */
export interface ReadYaml<T> {
  readonly value: T
  /** @returns An error that tells mistakes with their places. */
  error(mistakes: readonly Mistake[]): ConfigError
}

/** @throws ConfigError for a file that can't be read. */
export function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(file, [
      { line: 1, column: 1, key: '', message: `can't be read: ${(error as Error).message}` },
    ])
  }
}

/**
 * Reads a text: YAML 1.2, with `${NAME}` and `${NAME:-default}` from the environment, or from the file that `NAME_FILE`
 * names, as secrets are handed to containers.
 *
 * @throws ConfigError with every mistake and its place.
 */
export function readYaml<T>(text: string, file: string, environment: Environment, schema: z.ZodType<T>): ReadYaml<T> {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: true })
  const place = (offset: number): { line: number; column: number } => {
    const { line, col } = counter.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const broken = [...document.errors, ...document.warnings].map(({ pos, code, message }) => {
    const key = code === 'DUPLICATE_KEY' ? /^[\w.~/-]*/.exec(text.slice(pos[0]))![0] : ''
    return { ...place(pos[0]), key, message }
  })
  if (broken.length > 0) throw new ConfigError(file, broken)
  const unset = expand(document, environment, place)
  if (unset.length > 0) throw new ConfigError(file, unset)
  const parsed = schema.safeParse(valueOf(document, file), { error: whatToWrite })
  const at = ({ path, message }: Mistake): ConfigMistake => ({
    ...place(offsetOf(document, path)),
    key: path.map(String).join('.'),
    message: withoutPlace(message, path),
  })
  const error = (mistakes: readonly Mistake[]): ConfigError =>
    new ConfigError(
      file,
      mistakes.map(at).toSorted((one, other) => one.line - other.line || one.column - other.column),
    )
  if (!parsed.success) throw error(parsed.error.issues.flatMap((issue) => mistakesOf(issue)))
  return { value: parsed.data, error }
}

/** A message that begins with its place, as those of typed objects do: here the place stands before it already. */
function withoutPlace(message: string, path: readonly PropertyKey[]): string {
  const place = path.map((name) => (typeof name === 'number' ? `[${name}]` : `.${String(name)}`)).join('')
  return message.startsWith(`${place.slice(1)} `) ? message.slice(place.length) : message
}

/** @throws ConfigError for aliases that would unfold to more than any configuration needs. */
function valueOf(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    throw new ConfigError(file, [{ line: 1, column: 1, key: '', message: (error as Error).message }])
  }
}

/** Puts the environment into the document's strings. Returns what is wrong with its references. */
function expand(
  document: Document.Parsed,
  environment: Environment,
  place: (offset: number) => { line: number; column: number },
): ConfigMistake[] {
  const mistakes: ConfigMistake[] = []
  visit(document, {
    Scalar(_key, node) {
      if (!isScalar(node) || typeof node.value !== 'string' || !node.value.includes('${')) return
      const expansion = expanded(node.value, environment)
      if ('message' in expansion) {
        const { variable, message } = expansion
        mistakes.push({ ...place(node.range?.[0] ?? 0), key: variable, message })
        return
      }
      // `port: ${PORT}` is a number, `"${KEY}"` in quotes a text.
      const isNumber = node.type === 'PLAIN' && WHOLE.test(node.value) && NUMBER.test(expansion.text)
      node.value = isNumber ? Number(expansion.text) : expansion.text
    },
  })
  return mistakes
}

/** Where a path stands in the document, or the nearest of its parents that is there. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
    const name = path[length - 1]
    const pair = (parent as { items?: { key?: { value?: unknown; range?: number[] } }[] } | undefined)?.items?.find(
      (item) => item.key?.value === name,
    )
    if (pair?.key?.range !== undefined) return pair.key.range[0]!
    const node = document.getIn(path.slice(0, length), true) as { range?: number[] } | undefined
    if (node?.range !== undefined) return node.range[0]!
  }
  return 0
}
