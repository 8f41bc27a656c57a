import { decimalText, type LimitStatus, type Override, type PlanOrigin, type Unit } from '@tallygate/core'

type Window = LimitStatus['bound']['limit']['definition']['window']

/** Why a caller has a plan: `user alice`, `registry`, `default`; `host` where the host has chosen it. */
export function originText(origin: PlanOrigin | undefined): string {
  if (origin === undefined) return 'host'
  return 'value' in origin ? `${origin.by} ${origin.value}` : origin.by
}

/** Whose quota is in force in place of the plan's: `user alice`; `null` where it is the plan's. */
export function overrideText(override: Override | undefined): string | null {
  if (override === undefined) return null
  const { user, key, group, plan } = override.for
  const [by, value] = Object.entries({ user, key, group, plan }).find((entry) => entry[1] !== undefined)!
  return `${by} ${value}`
}

/**
 * Units as reports tell them: cost as a decimal of dollars, as no number has room for nine places of many of them, and
 * everything else as the number that it is.
 */
export function amountText<T extends number | null | undefined>(unit: Unit, amount: T): T | string {
  return unit === 'cost' && typeof amount === 'number' ? decimalText(amount) : amount
}

export function windowText(window: Window): string {
  if ('every' in window) return `${window.kind} ${window.count ?? 1} ${window.every} ${window.zone ?? 'UTC'}`
  return 'durationMs' in window ? `${window.kind} ${window.durationMs / 1_000} s` : window.kind
}

export function instantText(atMs: number | null | undefined): string | null {
  return atMs === null || atMs === undefined ? null : new Date(atMs).toISOString()
}
