import type { Usage } from '@tallygate/core'
import type { UsageReading } from '@tallygate/metering'

const MOST_RAW_BYTES = 16_384
const MOST_RAW_DEPTH = 6
const MOST_TEXT_CHARACTERS = 64

/**
 * A usage with what else is to be said of its answer: that part of it was damaged on its way, and, where it is wanted, the
 * provider's own object: its names, figures and short words, at most 16 kB of JSON, else nothing of it.
 */
export function annotatedUsage(usage: Usage, { isDamaged, raw }: UsageReading, keepsRaw: boolean): Usage {
  const flagged =
    isDamaged === true ? { ...usage, flags: [...new Set([...(usage.flags ?? []), 'damaged-frame' as const])] } : usage
  if (!keepsRaw || raw === undefined) return flagged
  const kept = figuresIn(raw, 0)
  return JSON.stringify(kept).length <= MOST_RAW_BYTES ? { ...flagged, raw: kept } : flagged
}

/** Without texts that are longer than words, and what lies too deep. */
function figuresIn(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.length <= MOST_TEXT_CHARACTERS ? value : undefined
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MOST_RAW_DEPTH) return undefined
  if (Array.isArray(value)) return value.map((each) => figuresIn(each, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, figuresIn(member, depth + 1)]))
}
