import type { CallFacts } from './subject.ts'
import type { LimitCondition } from './limit.ts'

/**
 * Whether a limit's condition holds for a call. Case and surrounding blanks don't tell models apart, so that spelling is
 * no way around a limit; a fact that is unknown matches no pattern but `*`.
 */
export function conditionHolds(condition: LimitCondition, facts: CallFacts): boolean {
  return (
    anyMatches(condition.model, facts.model) &&
    anyMatches(condition.service, facts.service) &&
    anyMatches(condition.route, facts.route)
  )
}

/** In words, the first condition that a call does not meet; `undefined` where it meets all. */
export function unmetCondition(condition: LimitCondition, facts: CallFacts): string | undefined {
  for (const fact of ['model', 'service', 'route'] as const) {
    const patterns = condition[fact]
    if (anyMatches(patterns, facts[fact])) continue
    const value = facts[fact]
    return `it is for calls whose ${fact} is ${patterns!.join(' or ')}, and ${value === undefined ? 'none is known' : `this is ${value}`}`
  }
  return undefined
}

function anyMatches(patterns: readonly string[] | undefined, fact: string | undefined): boolean {
  if (patterns === undefined) return true
  const value = (fact ?? '').trim().toLowerCase()
  return patterns.some((pattern) => patternMatches(pattern.trim().toLowerCase(), value))
}

/**
 * Whether a value matches a pattern in which `*` stands for any characters. Linear in both lengths, whatever the pattern:
 * each part is looked for once, from left to right.
 */
export function patternMatches(pattern: string, value: string): boolean {
  const parts = pattern.split('*')
  if (parts.length === 1) return pattern === value && value !== ''
  const first = parts[0]!
  const last = parts.at(-1)!
  if (value.length < first.length + last.length || !value.startsWith(first) || !value.endsWith(last)) return false
  let from = first.length
  const end = value.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = value.indexOf(part, from)
    if (found === -1 || found + part.length > end) return false
    from = found + part.length
  }
  return true
}
