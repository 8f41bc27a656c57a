import { isRaw, type Raw } from '../usage/reported-usage.ts'
import type { ToolDefinition } from './tool-definition.ts'

/** Deeper schemas are cut off here, and references that go round in circles with them. */
const MOST_LEVELS = 16
/** Schemas that name each other can grow beyond any bound: so many types, and characters of them, are rendered. */
const MOST_TYPES = 50_000
const MOST_CHARACTERS = 1_048_576

/**
 * Definitions of functions as OpenAI's models read them: a namespace of TypeScript. How it looks was found by comparing
 * counts: comments for titles, descriptions and bounds, objects without any on one line, references resolved.
 *
 * @param areOneLiners Whether objects without comments stand on one line; the first gpt-4 wrote them on several.
 */
export function renderTools(functions: readonly ToolDefinition[], areOneLiners = true): string {
  const lines = ['namespace functions {', '']
  for (const { name, description, parameters } of functions) {
    lines.push(...comment(description))
    if (parameters === undefined || !isRaw(parameters['properties']) || isEmpty(parameters['properties']))
      lines.push(`type ${name} = () => any;`, '')
    else {
      const about = [...comment(parameters['title']), ...comment(parameters['description'])].map((line) => `${line}\n`)
      const type = new SchemaRendering(parameters, areOneLiners).object(parameters, 0)
      lines.push(`type ${name} = (_: ${about.join('')}${type}) => any;`, '')
    }
  }
  lines.push('} // namespace functions')
  return lines.join('\n')
}

/** One schema, whose references are resolved within it. */
class SchemaRendering {
  readonly #root: Raw
  readonly #areOneLiners: boolean
  #types = 0
  #characters = 0

  constructor(root: Raw, areOneLiners: boolean) {
    this.#root = root
    this.#areOneLiners = areOneLiners
  }

  object(schema: Raw, level: number): string {
    const required = new Set(Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : [])
    const lines: string[] = []
    const members: string[] = []
    let isPlain = this.#areOneLiners
    for (const [name, value] of Object.entries(isRaw(schema['properties']) ? schema['properties'] : {})) {
      const property = this.#resolve(value)
      const comments = [...comment(property['title']), ...comment(property['description']), ...bounds(property)]
      const type = this.#type(property, level + 1)
      const member = `${name}${required.has(name) ? '' : '?'}: ${type}`
      const standard = property['default'] === undefined ? '' : ` // default: ${json(property['default'])}`
      isPlain &&= comments.length === 0 && standard === '' && !type.includes('\n')
      members.push(member)
      lines.push(...comments, `${member},${standard}`)
      this.#characters += member.length
      if (this.#characters > MOST_CHARACTERS) break
    }
    return isPlain ? `{ ${members.join(', ')} }` : ['{', ...lines, '}'].join('\n')
  }

  #type(schema: Raw, level: number): string {
    this.#types += 1
    if (level > MOST_LEVELS || this.#types > MOST_TYPES || this.#characters > MOST_CHARACTERS) return 'any'
    if (Array.isArray(schema['enum'])) return schema['enum'].map((each) => json(each)).join(' | ')
    const any = schema['anyOf'] ?? schema['oneOf']
    if (Array.isArray(any)) return any.map((each) => this.#type(this.#resolve(each), level + 1)).join(' | ')
    const type = schema['type']
    if (Array.isArray(type))
      return type.map((each) => this.#type({ ...schema, type: each as unknown }, level + 1)).join(' | ')
    switch (type) {
      case 'string':
      case 'boolean':
      case 'null':
        return type
      case 'integer':
      case 'number':
        return 'number'
      case 'array':
        return schema['items'] === undefined ? 'any[]' : `${this.#type(this.#resolve(schema['items']), level + 1)}[]`
      case 'object':
        return isRaw(schema['properties']) ? this.object(schema, level) : 'object'
      default:
        return 'any'
    }
  }

  /** A schema with its reference, or the only one that it is all of, put in. */
  #resolve(value: unknown): Raw {
    let schema = isRaw(value) ? value : {}
    for (let times = 0; times < MOST_LEVELS; times += 1) {
      const { $ref: reference, allOf, ...rest } = schema
      const [only, ...others]: readonly unknown[] = Array.isArray(allOf) ? allOf : []
      const target = typeof reference === 'string' ? this.#at(reference) : others.length === 0 ? only : undefined
      if (!isRaw(target)) return schema
      schema = { ...target, ...rest }
    }
    return schema
  }

  #at(reference: string): unknown {
    let value: unknown = this.#root
    for (const name of reference.split('/', MOST_LEVELS).slice(1))
      value = isRaw(value) && Object.hasOwn(value, name) ? value[name] : undefined
    return value
  }
}

/** Each line of a text as a comment, without the spaces at its ends. */
function comment(text: unknown): readonly string[] {
  if (typeof text !== 'string' || text.trim() === '') return []
  return text
    .trim()
    .split('\n')
    .map((line) => `// ${line.trim()}`.trimEnd())
}

/** Numbers are written with a decimal point. */
function bounds(schema: Raw): readonly string[] {
  const lines: string[] = []
  for (const name of ['minimum', 'maximum', 'format']) {
    const value = schema[name]
    if (typeof value === 'number') lines.push(`// ${name}: ${value}${Number.isInteger(value) ? '.0' : ''}`)
    else if (typeof value === 'string') lines.push(`// ${name}: ${value}`)
  }
  return lines
}

function isEmpty(value: Raw): boolean {
  for (const _ in value) return false
  return true
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'any'
  } catch {
    return 'any'
  }
}
