import type { UsageFlag } from '@tallygate/core'

/**
 * Figures as a provider states them, brought to one meaning: input includes cache reads and writes, output includes
 * reasoning. Not clamped; absent where the provider says nothing. Each is that of `Usage` with the longer name.
 */
export interface ReportedUsage {
  readonly input?: number | undefined
  readonly output?: number | undefined
  /** As stated; input plus output where the provider states no total. */
  readonly total?: number | undefined
  readonly cacheRead?: number | undefined
  readonly cacheWrite?: number | undefined
  readonly reasoning?: number | undefined
  readonly cacheWrite5m?: number | undefined
  readonly cacheWrite1h?: number | undefined
  readonly audioInput?: number | undefined
  readonly imageInput?: number | undefined
  readonly toolUseInput?: number | undefined
  readonly audioOutput?: number | undefined
  readonly imageOutput?: number | undefined
  readonly billedInput?: number | undefined
  readonly billedOutput?: number | undefined
  readonly seconds?: number | undefined
  readonly images?: number | undefined
  readonly searches?: number | undefined
  /** In US dollars, as the provider states it. */
  readonly cost?: number | undefined
  readonly serviceTier?: string | undefined
  /** All runs of an answer summed, where its own sums leave some of them out: what it has used, and is charged for. */
  readonly runs?: ReportedUsage | undefined
  readonly flags?: readonly UsageFlag[] | undefined
}

/** An object of a provider's, whose members may be anything. */
export type Raw = Readonly<Record<string, unknown>>

/** Whether a value is an object with members. */
export function isRaw(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member that is a finite number; anything else is absent. */
export function figure(raw: unknown, name: string): number | undefined {
  if (!isRaw(raw)) return undefined
  const value = raw[name]
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** Sum of those figures that are known; absent if none is. */
export function known(...figures: readonly (number | undefined)[]): number | undefined {
  const present = figures.filter((value) => value !== undefined)
  return present.length === 0 ? undefined : present.reduce((sum, value) => sum + value, 0)
}
