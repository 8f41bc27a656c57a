import type { CompiledLimit, LimitStatus } from '@tallygate/core'

/**
 * Which fields tell where limits stand. `draft-8`: RateLimit and RateLimit-Policy as structured fields, one member a
 * limit. `draft-7` and `draft-6`: the earlier forms, which know one limit: the nearest. `x`: X-RateLimit-*, as GitHub.
 * `openai` and `anthropic`: the provider's own names, for clients that read those.
 */
export type RateLimitStyle = 'draft-8' | 'draft-7' | 'draft-6' | 'x' | 'openai' | 'anthropic'

/** Names and values, in the spelling in which they are sent. */
export type Fields = Readonly<Record<string, string>>

/**
 * Says in header fields where limits stand. Cost is told in whole millionths of a dollar, rounded down: structured fields
 * have no room for more than fifteen digits.
 * Sources: draft-ietf-httpapi-ratelimit-headers, versions 6 to 10; OpenAI and Anthropic API references, rate limits.
 *
 * @param nowMs By the counter store's clock.
 */
export function rateLimitFields(
  statuses: readonly LimitStatus[],
  styles: readonly RateLimitStyle[],
  nowMs: number,
): Fields {
  const limited = statuses.filter(({ quota }) => quota !== null).map(inWholeUnits)
  if (limited.length === 0) return {}
  if (styles.length === 1) return FIELDS[styles[0]!](limited, nowMs)
  const fields: Record<string, string> = {}
  for (const style of styles) Object.assign(fields, FIELDS[style](limited, nowMs))
  return fields
}

const NANOS_PER_MICRO = 1_000

function inWholeUnits(status: LimitStatus): LimitStatus {
  if (status.bound.limit.definition.unit !== 'cost') return status
  const micros = (nanos: number): number => Math.floor(nanos / NANOS_PER_MICRO)
  return { ...status, quota: micros(status.quota!), remaining: micros(status.remaining!) }
}

const FIELDS: Readonly<Record<RateLimitStyle, (statuses: readonly LimitStatus[], nowMs: number) => Fields>> = {
  'draft-8': structuredFields,
  'draft-7': (statuses, nowMs) => {
    const { quota, remaining, resetAtMs, bound } = nearest(statuses)
    const reset = resetAtMs === null ? '' : `, reset=${secondsUntil(resetAtMs, nowMs)}`
    return {
      'RateLimit-Policy': `${quota};w=${windowSeconds(bound.limit, nowMs) ?? 0}`,
      RateLimit: `limit=${quota}, remaining=${remaining}${reset}`,
    }
  },
  'draft-6': (statuses, nowMs) => {
    const { quota, remaining, resetAtMs, bound } = nearest(statuses)
    return {
      'RateLimit-Policy': `${quota};w=${windowSeconds(bound.limit, nowMs) ?? 0}`,
      'RateLimit-Limit': String(quota),
      'RateLimit-Remaining': String(remaining),
      ...(resetAtMs === null ? {} : { 'RateLimit-Reset': String(secondsUntil(resetAtMs, nowMs)) }),
    }
  },
  x: (statuses) => {
    const { quota, remaining, resetAtMs } = nearest(statuses)
    return {
      'X-RateLimit-Limit': String(quota),
      'X-RateLimit-Remaining': String(remaining),
      ...(resetAtMs === null ? {} : { 'X-RateLimit-Reset': String(Math.ceil(resetAtMs / 1_000)) }),
    }
  },
  openai: (statuses, nowMs) => {
    const fields: Record<string, string> = {}
    for (const [kind, status] of byKind(statuses)) {
      fields[`x-ratelimit-limit-${kind}`] = String(status.quota)
      fields[`x-ratelimit-remaining-${kind}`] = String(status.remaining)
      if (status.resetAtMs !== null)
        fields[`x-ratelimit-reset-${kind}`] = goDuration(Math.max(0, status.resetAtMs - nowMs))
    }
    return fields
  },
  anthropic: (statuses) => {
    const fields: Record<string, string> = {}
    for (const [kind, status] of byKind(statuses)) {
      fields[`anthropic-ratelimit-${kind}-limit`] = String(status.quota)
      fields[`anthropic-ratelimit-${kind}-remaining`] = String(status.remaining)
      if (status.resetAtMs !== null) {
        fields[`anthropic-ratelimit-${kind}-reset`] = new Date(status.resetAtMs).toISOString().replace(/\.\d+Z$/, 'Z')
      }
    }
    return fields
  },
}

/** `"tokens-per-day";q=100000;w=86400` and `"tokens-per-day";r=52000;t=3600`. Units: only registered ones are named. */
function structuredFields(statuses: readonly LimitStatus[], nowMs: number): Fields {
  let policy = ''
  let limit = ''
  for (const { bound, quota, remaining, resetAtMs } of statuses) {
    const separator = policy === '' ? '' : ', '
    policy += separator + policyItem(bound.limit, quota!, nowMs)
    limit += `${separator}"${bound.limit.name}";r=${remaining}`
    if (resetAtMs !== null) limit += `;t=${secondsUntil(resetAtMs, nowMs)}`
  }
  return { 'RateLimit-Policy': policy, RateLimit: limit }
}

/** What a policy said last: it changes once a window, at most. */
const saidLast = new WeakMap<
  CompiledLimit,
  { readonly quota: number; readonly durationMs: number | null; readonly item: string }
>()

function policyItem(limit: CompiledLimit, quota: number, nowMs: number): string {
  const durationMs = limit.durationAt(nowMs)
  const last = saidLast.get(limit)
  if (last !== undefined && last.quota === quota && last.durationMs === durationMs) return last.item
  const unit = limit.definition.window.kind === 'concurrent' ? ';qu="concurrent-requests"' : ''
  const seconds = windowSeconds(limit, nowMs)
  const item = `"${limit.name}";q=${quota}${unit}${seconds === null ? '' : `;w=${seconds}`}`
  saidLast.set(limit, { quota, durationMs, item })
  return item
}

/** Of several limits, the one of which the smallest share is left. */
function nearest(statuses: readonly LimitStatus[]): LimitStatus {
  const share = ({ quota, remaining }: LimitStatus): number => (quota === 0 ? 0 : remaining! / quota!)
  return statuses.reduce((near, status) => (share(status) < share(near) ? status : near))
}

/** The nearest limit on requests, and the nearest on tokens. */
function byKind(statuses: readonly LimitStatus[]): readonly (readonly ['requests' | 'tokens', LimitStatus])[] {
  const ofUnit = (kind: string): LimitStatus[] =>
    statuses.filter(
      ({ bound: { limit } }) => limit.definition.window.kind !== 'concurrent' && limit.definition.unit === kind,
    )
  return (['requests', 'tokens'] as const).flatMap((kind) => {
    const found = ofUnit(kind)
    return found.length === 0 ? [] : [[kind, nearest(found)] as const]
  })
}

function windowSeconds(limit: CompiledLimit, nowMs: number): number | null {
  const durationMs = limit.durationAt(nowMs)
  return durationMs === null ? null : Math.max(1, Math.round(durationMs / 1_000))
}

function secondsUntil(atMs: number, nowMs: number): number {
  return Math.max(0, Math.ceil((atMs - nowMs) / 1_000))
}

/** `1h2m3s`, `450ms`: as OpenAI writes the time until its limits reset. */
function goDuration(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1_000)
  const parts = [
    [Math.floor(seconds / 3_600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const
  return parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('')
}
