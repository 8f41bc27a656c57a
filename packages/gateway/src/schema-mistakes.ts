import type { z } from 'zod'
import type { Mistake } from './contradictions.ts'

/** What a schema complains of, as far as it is looked at here. */
export interface SchemaIssue {
  readonly code: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  /** Of `unrecognized_keys`. */
  readonly keys?: readonly string[]
  /** Of `invalid_union`: what each of its forms complains of. */
  readonly errors?: readonly (readonly SchemaIssue[])[]
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a map of keys and values',
  record: 'a map of keys and values',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
}
const AMOUNT = /^-?\d+(?:\.\d+)?$/
const COUNTED: Readonly<Record<string, string>> = { string: 'characters', array: 'items', set: 'items', record: 'keys' }

/** What to write, where a schema has no words of its own for it. */
export const whatToWrite: z.core.$ZodErrorMap = (issue) => {
  if (issue.code === 'invalid_type') {
    const kind = KINDS[issue.expected]
    if (kind === undefined) return undefined
    if (issue.input === undefined) return `it is not there: use ${kind}`
    return `use ${kind}${quotesFor(issue.expected, issue.input)}`
  }
  if (issue.code === 'invalid_value') return `use ${issue.values.map(String).join(', ')}`
  if (issue.code === 'too_small' && issue.minimum === 1 && COUNTED[issue.origin] !== undefined)
    return 'it is empty: fill it in, or leave it out'
  if (issue.code === 'too_small')
    return `use ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unitOf(issue)}`
  if (issue.code === 'too_big')
    return `use ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unitOf(issue)}`
  return undefined
}

/** YAML tells texts from numbers by their quotes. */
function quotesFor(expected: string, input: unknown): string {
  if (expected === 'string') return typeof input === 'number' || typeof input === 'boolean' ? ', in quotes' : ''
  return typeof input === 'string' && AMOUNT.test(input) ? ', without quotes' : ''
}

function unitOf({ origin }: { readonly origin: string }): string {
  const counted = COUNTED[origin]
  return counted === undefined ? '' : ` ${counted}`
}

/** It can't have been meant: the value is of another kind. */
const OTHER_KIND = 1_000

/** The mistakes that an issue stands for, each where it can be mended: at a key, and in the form that was meant. */
export function mistakesOf(issue: SchemaIssue): Mistake[] {
  const { code, path, message, keys = [], errors = [] } = issue
  if (code === 'unrecognized_keys')
    return keys.map((key) => ({ path: [...path, key], message: 'there is no such key' }))
  const least = Math.min(...errors.map(distanceOf))
  if (code !== 'invalid_union' || !(least < OTHER_KIND)) return [{ path, message }]
  const [meant, ...others] = errors.filter((form) => distanceOf(form) === least)
  const mistakes = meant!.flatMap(mistakesOf).map((mistake) => ({ ...mistake, path: [...path, ...mistake.path] }))
  // Where several forms could have been meant, what one of them wants would mislead.
  return others.length === 0 ? mistakes : mistakes.map((mistake) => ({ ...mistake, message }))
}

/** How far a value is from a form: a key that is not there counts less than one that is wrong, as it may be too much. */
function distanceOf(issues: readonly SchemaIssue[]): number {
  return issues.reduce((sum, { code, path, keys = [] }) => {
    if (code === 'unrecognized_keys') return sum + keys.length
    return sum + (path.length === 0 ? OTHER_KIND : path.length === 1 ? 2 : 1)
  }, 0)
}
