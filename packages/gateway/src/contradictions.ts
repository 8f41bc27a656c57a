import { CompiledPlan, MemoryPlanSource, PRICED_UNITS, QuotaError, type PriceBook, type Unit } from '@tallygate/core'
import express from 'express'
import { refusesUnregistered } from './caller-options.ts'
import { defined, overrideOf, planOf } from './config-plans.ts'
import type { Config, PlanConfig, QuotaConfig } from './config-schema.ts'

/** What is wrong at a place of the configuration. */
export interface Mistake {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** What the schema can't see: names that lead nowhere, plans that can't work, a provider's key that anybody could spend. */
export function contradictions(config: Config): Mistake[] {
  const { plans = {}, trustProxy } = config
  const inPlans = Object.entries(plans).flatMap(([name, plan]) => planMistakes(name, plan))
  return [
    ...inPlans,
    ...Object.entries(plans).flatMap(([name, plan]) => unitMistakes(name, plan, config)),
    ...overrideMistakes(config),
    ...missingPlans(config),
    // Of plans that can't be made, nobody can say what they have.
    ...(inPlans.length > 0 ? [] : callerMistakes(config)),
    ...unreachedKeys(config),
    ...twins(config),
    ...pathMistakes(config),
    ...openCredentials(config),
    ...failureAt(['trustProxy'], () => trustProxy !== undefined && express().set('trust proxy', trustProxy)),
  ]
}

function planMistakes(name: string, plan: PlanConfig): Mistake[] {
  return failureAt(['plans', name], () => new CompiledPlan(planOf(name, plan))).map(({ path, message }) => {
    const place = placeIn(message, `plans.${name}`)
    // The name is the key that the plan stands under.
    return { path: place[0] === 'name' ? path : [...path, ...place], message }
  })
}

/** Where the message of an error says that it stands: `plans.pro.limits[1].quota is …`, below what it begins with. */
export function placeIn(message: string, below: string): (string | number)[] {
  if (!message.startsWith(below)) return []
  const [place] = /^(?:\.\w+|\[\d+\])*/.exec(message.slice(below.length))!
  return [...place.matchAll(/\.(\w+)|\[(\d+)\]/g)].map(([, name, index]) => name ?? Number(index))
}

/** Assignments and overrides of callers or limits that there are none of. Each by itself, so that all are told. */
function callerMistakes({ plans = {}, assignments = [], overrides = [] }: Config): Mistake[] {
  const known = Object.entries(plans).map(([name, plan]) => planOf(name, plan))
  const all = [
    ...assignments.map((each) => ({ list: 'assignments', item: { ...defined(each), for: defined(each.for) } })),
    ...overrides.map((each) => ({ list: 'overrides', item: overrideOf(each) })),
  ]
  return all.flatMap(({ list, item }, index) => {
    const at = list === 'assignments' ? index : index - assignments.length
    const failure = failureAt([list, at], () => new MemoryPlanSource({ plans: known, [list]: [item] }))
    return failure.map(({ path, message }) => ({
      path: [...path, ...placeIn(message, `${list}[0]`)],
      message: message.replace(`${list}[0]`, `${list}[${at}]`),
    }))
  })
}

/** Callers who would never be found: nothing crosses a tenant, and a key's own plans go before those it is assigned. */
function unreachedKeys({ keys = [], assignments = [], overrides = [] }: Config): Mistake[] {
  const matches = [
    ...assignments.map((each, index) => ({ match: each.for, path: ['assignments', index] })),
    ...overrides.map((each, index) => ({ match: each.for, path: ['overrides', index] })),
  ]
  return matches.flatMap(({ match, path }) => {
    const key = keys.find(({ id }) => id === match.key)
    if (key === undefined) return []
    const { tenant = 'default' } = key
    if (tenant !== (match.tenant ?? 'default'))
      return [{ path: [...path, 'for', 'key'], message: `key ${key.id} is of another tenant: set tenant: ${tenant}` }]
    if (path[0] === 'assignments' && key.plans !== undefined)
      return [{ path: [...path, 'for', 'key'], message: `key ${key.id} names its plans itself: leave one of them out` }]
    return []
  })
}

/** What only a book that was read can tell: its currency, and whether it knows credits. */
export function priceContradictions({ plans = {}, overrides = [] }: Config, book: PriceBook): Mistake[] {
  const currencyMistakes = (quota: QuotaConfig, path: readonly PropertyKey[]): Mistake[] =>
    typeof quota !== 'object' || quota === null || quota.currency === book.currency
      ? []
      : [{ path, message: `it is in ${quota.currency}, and prices are in ${book.currency}: use the same` }]
  const ofPlans = Object.entries(plans).flatMap(([name, { limits }]) =>
    limits.flatMap(({ unit, quota }, index) => {
      const path = ['plans', name, 'limits', index]
      const isUnknown = unit === 'credits' && !book.hasCredits
      return [
        ...currencyMistakes(quota, [...path, 'quota']),
        ...(isUnknown
          ? [{ path: [...path, 'unit'], message: 'no price file says anything of credits: set its creditsPerUnit' }]
          : []),
      ]
    }),
  )
  return [...ofPlans, ...overrides.flatMap(({ quota }, at) => currencyMistakes(quota, ['overrides', at, 'quota']))]
}

/** Limits on what no price tells, and quotas in another unit than their limit's. */
function unitMistakes(name: string, { limits }: PlanConfig, { prices }: Config): Mistake[] {
  return limits.flatMap(({ unit, quota }, index) => {
    const path = ['plans', name, 'limits', index]
    const isPriced = PRICED_UNITS.has(unit) && prices === undefined
    const message = `plan ${name} counts ${unit}, and nobody knows prices: set prices, such as prices: starter`
    return [
      ...(isPriced ? [{ path: [...path, 'unit'], message }] : []),
      ...moneyMistakes(unit, quota, [...path, 'quota']),
    ]
  })
}

function overrideMistakes({ plans = {}, overrides = [] }: Config): Mistake[] {
  return overrides.flatMap(({ limit, quota }, index) => {
    const slash = limit.indexOf('/')
    const named = plans[limit.slice(0, slash)]?.limits.find(({ name }) => name === limit.slice(slash + 1))
    return named === undefined ? [] : moneyMistakes(named.unit, quota, ['overrides', index, 'quota'])
  })
}

/** A plain number would be nanodollars, which nobody means. */
function moneyMistakes(unit: Unit, quota: QuotaConfig, path: readonly PropertyKey[]): Mistake[] {
  if (quota === null || quota === 0) return []
  const isMoney = typeof quota === 'object'
  if (isMoney === (unit === 'cost')) return []
  return [{ path, message: isMoney ? `it counts ${unit}: use a whole number` : 'it counts money: use $5 or $0.25' }]
}

function missingPlans({ plans = {}, defaultPlans = [], keys = [] }: Config): Mistake[] {
  const named = [
    ...defaultPlans.map((name, index) => ({ name, path: ['defaultPlans', index] })),
    ...keys.flatMap((key, index) => key.plans?.map((name, at) => ({ name, path: ['keys', index, 'plans', at] })) ?? []),
  ]
  return named
    .filter(({ name }) => !Object.hasOwn(plans, name))
    .map(({ name, path }) => ({ path, message: `there is no plan named ${JSON.stringify(name)}` }))
}

/** Keys that nobody could tell apart. */
function twins({ keys = [] }: Config): Mistake[] {
  return (['id', 'secret'] as const).flatMap((member) => {
    const values = keys.map((key) => key[member])
    return values.flatMap((value, index) => {
      const first = values.indexOf(value)
      return first === index
        ? []
        : [{ path: ['keys', index, member], message: `keys.${first} has the same: change one` }]
    })
  })
}

/** Paths on which no request could reach its provider. */
function pathMistakes({ providers, reportPath = '/usage' }: Config): Mistake[] {
  const taken = [{ by: 'reportPath', path: plain(reportPath) }]
  return Object.entries(providers).flatMap(([name, { path }]) => {
    const at = path === undefined ? ['providers', name] : ['providers', name, 'path']
    if (path === undefined && !/^[A-Za-z0-9._~-]+$/.test(name))
      return [{ path: at, message: 'its name makes no path: give it a path such as /openai' }]
    const own = plain(path ?? `/${name}`)
    const other = taken.find((each) => `${own}/`.startsWith(`${each.path}/`))
    taken.push({ by: `providers.${name}`, path: own })
    return other === undefined ? [] : [{ path: at, message: `${own}/ belongs to ${other.by}: give it another path` }]
  })
}

/** As Express compares paths. */
function plain(path: string): string {
  return path.toLowerCase().replace(/\/+$/, '')
}

function openCredentials(config: Config): Mistake[] {
  if (refusesUnregistered(config)) return []
  return Object.entries(config.providers)
    .filter(([, { credential }]) => typeof credential === 'object')
    .map(([name]) => ({
      path: ['providers', name, 'credential'],
      message: 'a key is swapped in for callers that nobody knows: list keys, and set unregistered: refuse',
    }))
}

function failureAt(path: readonly PropertyKey[], attempt: () => unknown): Mistake[] {
  try {
    attempt()
    return []
  } catch (error) {
    if (!(error instanceof QuotaError) && !(error instanceof TypeError)) throw error
    return [{ path, message: error.message }]
  }
}
