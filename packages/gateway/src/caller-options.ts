import { MemoryKeyRegistry, type PriceBook } from '@tallygate/core'
import type { CallerOptions } from '@tallygate/flow'
import { fingerprint, type Pepper } from '@tallygate/identity'
import { defined, overrideOf, planOf } from './config-plans.ts'
import type { Config } from './config-schema.ts'

/** Who may call, and under which plans, as a configuration says: what can be replaced while calls go on. */
export function callerOptions(config: Config, pepper: Pepper, prices: PriceBook | undefined): CallerOptions {
  const { plans = {}, keys = [], assignments, overrides, defaultPlans, combine, severalGroups, unregistered } = config
  const records = keys.map(({ secret, expires, ...record }) => ({
    ...defined(record),
    fingerprint: fingerprint(pepper, secret),
    ...(expires === undefined ? {} : { expiresAtMs: Date.parse(expires) }),
  }))
  return {
    plans: Object.entries(plans).map(([name, plan]) => planOf(name, plan)),
    ...defined({ prices, defaultPlans, combine, severalGroups, unregistered }),
    ...(assignments === undefined
      ? {}
      : { assignments: assignments.map((each) => ({ ...defined(each), for: defined(each.for) })) }),
    ...(overrides === undefined ? {} : { overrides: overrides.map(overrideOf) }),
    ...(records.length === 0 ? {} : { registry: new MemoryKeyRegistry(records) }),
  }
}

/** Whether keys that nobody has handed out are refused, as the quota does it. */
export function refusesUnregistered({ keys = [], unregistered }: Config): boolean {
  return (unregistered ?? (keys.length === 0 ? 'pass' : 'refuse')) === 'refuse'
}
