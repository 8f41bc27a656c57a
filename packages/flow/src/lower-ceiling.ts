import type { MemberPath } from '@tallygate/metering'
import { memberValue, spliced, withMember, type Span } from './json-splice.ts'

type Parsed = Readonly<Record<string, unknown>>

/**
 * Sets the ceiling on output tokens that a request states, in the bytes of the request; everything else stays as the
 * caller wrote it. Where the caller has named it in several ways, each that allows more is set; where in none, the first
 * that the operation knows is added, in the objects that the caller has written.
 *
 * @param body A JSON object without duplicate keys, as `parseJsonBody` has found it, and what it was parsed to.
 * @param paths Of the operation, the preferred one first.
 */
export function lowerCeiling(body: Buffer, parsed: Parsed, paths: readonly MemberPath[], tokens: number): Buffer {
  const ceilings = paths.filter((path) => isCeiling(valueAt(parsed, path)))
  if (ceilings.length > 0) {
    const higher = ceilings.filter((path) => {
      const value = valueAt(parsed, path)
      return isQuoted(value) || (value as number) > tokens
    })
    return higher.reduce((changed, path) => withNumber(changed, parsed, path, tokens), body)
  }
  // A member that is null, or no number, is in the way of its number.
  const best = paths.toSorted((a, b) => depth(parsed, b) - depth(parsed, a))[0]
  return best === undefined ? body : withNumber(body, parsed, best, tokens)
}

/** In quotes as well, as lenient servers read them. */
function isCeiling(value: unknown): boolean {
  return (typeof value === 'number' && value > 0) || isQuoted(value)
}

function isQuoted(value: unknown): boolean {
  return typeof value === 'string' && Number(value) > 0
}

/** How many names of a path lead somewhere. */
function depth(parsed: Parsed, path: MemberPath): number {
  let value: unknown = parsed
  for (const [index, name] of path.entries()) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return index
    value = value[name]
  }
  return path.length
}

function valueAt(parsed: Parsed, path: MemberPath): unknown {
  return path.reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), parsed)
}

function withNumber(body: Buffer, parsed: Parsed, path: MemberPath, tokens: number): Buffer {
  let span: Span = { from: 0, to: body.length }
  let object: unknown = parsed
  for (const [index, name] of path.entries()) {
    if (!isObject(object)) return spliced(body, span.from, span.to, nested(path.slice(index), tokens))
    const value = memberValue(body, span, name)
    if (value === undefined) {
      const member = `${JSON.stringify(name)}:${nested(path.slice(index + 1), tokens)}`
      return withMember(body, span, member, Object.keys(object).length === 0)
    }
    span = value
    object = object[name]
  }
  return spliced(body, span.from, span.to, String(tokens))
}

function nested(path: readonly string[], tokens: number): string {
  return path.reduceRight((text, name) => `{${JSON.stringify(name)}:${text}}`, String(tokens))
}

function isObject(value: unknown): value is Parsed {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
