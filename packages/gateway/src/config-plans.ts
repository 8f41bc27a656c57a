import type { CalendarUnit, Limit, Override, Plan, Window } from '@tallygate/core'
import type { OverrideConfig, PlanConfig, QuotaConfig, WindowConfig } from './config-schema.ts'

/** A plan of `quota.yaml` in the words of core. */
export function planOf(name: string, { limits, count, ...rest }: PlanConfig): Plan {
  return {
    name,
    ...defined(rest),
    ...(count === undefined ? {} : { count: defined(count) }),
    limits: limits.map(
      ({ window, quota, ...limit }) =>
        ({ ...defined(limit), quota: unitsOf(quota), window: windowOf(window) }) as Limit,
    ),
  }
}

/** An override of `quota.yaml` in the words of core. */
export function overrideOf({ for: match, until, quota, ...rest }: OverrideConfig): Override {
  return {
    ...rest,
    quota: unitsOf(quota),
    for: defined(match),
    ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
  }
}

/** Money in nanos, everything else as it is. */
function unitsOf(quota: QuotaConfig): number | null {
  return typeof quota === 'object' && quota !== null ? quota.nanos : quota
}

function windowOf(window: WindowConfig): Window {
  if (typeof window === 'string') {
    return window === 'lifetime' || window === 'concurrent' ? { kind: window } : { kind: 'fixed', every: window }
  }
  if ('sliding' in window)
    return { kind: 'sliding', durationMs: window.sliding, ...defined({ buckets: window.buckets }) }
  if ('first-use' in window) return { kind: 'first-use', durationMs: window['first-use'], then: window.then }
  const { fixed, ...rest } = window
  if (typeof fixed === 'number') return { kind: 'fixed', durationMs: fixed }
  const { count, zone, anchor }: CalendarConfig = rest
  const every: CalendarUnit = fixed
  return {
    kind: 'fixed',
    every,
    ...defined({ count, zone, anchor: anchor === undefined ? undefined : defined(anchor) }),
  }
}

type CalendarConfig = Omit<Extract<WindowConfig, { zone?: string | undefined }>, 'fixed'>

/** Members that have a value: an option that is `undefined` is not the same as one that is absent. */
export function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
