import { assertMembers, configError } from './config-error.ts'
import { DEFAULT_TENANT, type Subject } from './subject.ts'

/** One kind of caller: exactly one of `user`, `key` and `group`, of one tenant. */
export interface CallerMatch {
  /** Default: `default`. Nothing crosses a tenant. */
  readonly tenant?: string
  /** Value of the dimension `user`. */
  readonly user?: string
  /** Id of the key, as reports name it. */
  readonly key?: string
  /** One of the caller's groups. */
  readonly group?: string
}

/** By what callers are told apart, the first before the next. */
export const CALLER_LEVELS = ['user', 'key', 'group'] as const
/** One of {@link CALLER_LEVELS}. */
export type CallerLevel = (typeof CALLER_LEVELS)[number]

/** The level that a match is on, and its value. */
export function levelOf(match: CallerMatch): readonly [level: CallerLevel, value: string] {
  const level = CALLER_LEVELS.find((each) => match[each] !== undefined)!
  return [level, match[level]!]
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a match of nobody, or on several levels. */
export function assertCallerMatch(
  match: unknown,
  at: string,
  levels: readonly string[] = CALLER_LEVELS,
): asserts match is object {
  assertMembers(match, ['tenant', ...levels], at)
  for (const [name, value] of Object.entries(match)) {
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      throw configError(`${at}.${name}`, value, 'use a text that is not empty')
  }
  const named = levels.filter((level) => (match as Record<string, unknown>)[level] !== undefined)
  if (named.length !== 1) throw configError(at, match, `name exactly one of ${levels.join(', ')}`)
}

/** The groups of a caller: the dimension `group`, and all others that it is said to be in. */
export function groupsOf({ dimensions, groups = [] }: Subject): readonly string[] {
  const group = dimensions['group']
  return group === undefined || groups.includes(group) ? groups : [group, ...groups]
}

/** Finds what is for a caller among things that are each for one kind of callers. */
export class ByCaller<T extends { readonly for: CallerMatch }> {
  readonly #at = new Map<string, T[]>()
  readonly #order: ReadonlyMap<T, number>

  constructor(all: readonly T[]) {
    this.#order = new Map(all.map((each, index) => [each, index]))
    for (const each of all) {
      const [level, value] = levelOf(each.for)
      const place = placeOf(level, each.for.tenant ?? DEFAULT_TENANT, value)
      const there = this.#at.get(place)
      if (there === undefined) this.#at.set(place, [each])
      else there.push(each)
    }
  }

  /** What is for the caller on one level, in the order in which it was given. */
  on(level: CallerLevel, subject: Subject): readonly T[] {
    if (this.#at.size === 0) return []
    if (level !== 'group') {
      const value = subject.dimensions[level]
      return value === undefined ? [] : (this.#at.get(placeOf(level, subject.tenant, value)) ?? [])
    }
    const groups = groupsOf(subject)
    if (groups.length === 0) return []
    const found = groups.flatMap((group) => this.#at.get(placeOf('group', subject.tenant, group)) ?? [])
    return found.sort((one, other) => this.#order.get(one)! - this.#order.get(other)!)
  }
}

/** No two kinds of callers share one, whatever their names are made of. */
function placeOf(level: CallerLevel, tenant: string, value: string): string {
  return `${level} ${tenant.length} ${tenant}${value}`
}
