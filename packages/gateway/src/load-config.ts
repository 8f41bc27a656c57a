import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { CompiledPlan, QuotaError } from '@tallygate/core'
import { isScalar, LineCounter, parseDocument, visit, type Document } from 'yaml'
import { planOf } from './config-plans.ts'
import { configSchema, type Config } from './config-schema.ts'

/** A configuration, and the folder that paths in it start from. */
export interface LoadedConfig {
  readonly config: Config
  readonly folder: string
}

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
  readonly mistakes: readonly ConfigMistake[]

  constructor(file: string, mistakes: readonly ConfigMistake[]) {
    const lines = mistakes.map(
      ({ line, column, key, message }) => `${file}:${line}:${column}: ${key === '' ? '' : `${key}: `}${message}`,
    )
    super('ERR_QUOTA_CONFIG', lines.join('\n'))
    this.mistakes = mistakes
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads a configuration: YAML 1.2, with `${NAME}` and `${NAME:-default}` from the environment. A variable that is not set
 * is read from the file that `NAME_FILE` names, as secrets are handed to containers.
 *
 * @throws ConfigError with every mistake and its place.
 */
export function loadConfig(file: string, environment: Environment = process.env): LoadedConfig {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(file, [
      { line: 1, column: 1, key: '', message: `can't be read: ${(error as Error).message}` },
    ])
  }
  return { config: parseConfig(text, file, environment), folder: dirname(resolve(file)) }
}

/** As {@link loadConfig}, for a text that was read. */
export function parseConfig(text: string, file: string, environment: Environment): Config {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: true })
  const place = (offset: number): { line: number; column: number } => {
    const { line, col } = counter.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const broken = document.errors.map(({ pos, message }) => ({ ...place(pos[0]), key: '', message }))
  if (broken.length > 0) throw new ConfigError(file, broken)
  const unset = expand(document, environment, place)
  if (unset.length > 0) throw new ConfigError(file, unset)
  const parsed = configSchema.safeParse(document.toJS())
  const at = (path: readonly PropertyKey[], message: string): ConfigMistake => ({
    ...place(offsetOf(document, path)),
    key: path.map(String).join('.'),
    message,
  })
  if (!parsed.success)
    throw new ConfigError(
      file,
      parsed.error.issues.flatMap((issue) => mistakesOf(issue).map(({ path, message }) => at(path, message))),
    )
  const senseless = contradictions(parsed.data).map(({ path, message }) => at(path, message))
  if (senseless.length > 0) throw new ConfigError(file, senseless)
  return parsed.data
}

interface Mistake {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** A key that does not exist stands at the key itself, not at its parent. */
function mistakesOf(issue: { code: string; path: PropertyKey[]; message: string; keys?: string[] }): Mistake[] {
  if (issue.code !== 'unrecognized_keys' || issue.keys === undefined)
    return [{ path: issue.path, message: issue.message }]
  return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'there is no such key' }))
}

/** What the schema can't see: names that lead nowhere, plans that can't work, a provider's key that anybody could spend. */
function contradictions({ plans = {}, defaultPlans = [], keys = [], unregistered, providers }: Config): Mistake[] {
  const found: Mistake[] = []
  for (const [name, plan] of Object.entries(plans)) {
    try {
      new CompiledPlan(planOf(name, plan))
    } catch (error) {
      if (!(error instanceof QuotaError)) throw error
      const limit = /\.limits\[(\d+)\]/.exec(error.message)
      found.push({
        path: limit === null ? ['plans', name] : ['plans', name, 'limits', Number(limit[1])],
        message: error.message,
      })
    }
  }
  const missing = (name: string, path: readonly PropertyKey[]): void => {
    if (!Object.hasOwn(plans, name)) found.push({ path, message: `there is no plan named ${JSON.stringify(name)}` })
  }
  defaultPlans.forEach((name, index) => missing(name, ['defaultPlans', index]))
  keys.forEach((key, index) => key.plans?.forEach((name, at) => missing(name, ['keys', index, 'plans', at])))
  const passes = unregistered === 'pass' || (unregistered === undefined && keys.length === 0)
  for (const [name, { credential }] of Object.entries(providers)) {
    if (passes && typeof credential === 'object') {
      found.push({
        path: ['providers', name, 'credential'],
        message: 'a key is swapped in for callers that nobody knows: list keys, and set unregistered: refuse',
      })
    }
  }
  return found
}

/** Puts the environment into the document's strings. Returns the variables that are not set. */
function expand(
  document: Document.Parsed,
  environment: Environment,
  place: (offset: number) => { line: number; column: number },
): ConfigMistake[] {
  const unset: ConfigMistake[] = []
  visit(document, {
    Scalar(_key, node) {
      if (!isScalar(node) || typeof node.value !== 'string' || !node.value.includes('${')) return
      const isWhole = /^\$\{[^}]+\}$/.test(node.value)
      const text = node.value.replaceAll(
        /\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g,
        (_whole, name: string, byDefault?: string) => {
          const value = environment[name] ?? fromFile(environment[`${name}_FILE`]) ?? byDefault
          if (value !== undefined) return value
          unset.push({
            ...place(node.range?.[0] ?? 0),
            key: name,
            message: `the environment has neither ${name} nor ${name}_FILE`,
          })
          return ''
        },
      )
      // `port: ${PORT}` is a number.
      node.value = isWhole && /^-?\d{1,15}$/.test(text) ? Number(text) : text
    },
  })
  return unset
}

function fromFile(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
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
