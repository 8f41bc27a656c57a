import {
  MemoryPlanSource,
  PRICED_UNITS,
  QuotaError,
  type Clock,
  type CompiledPlan,
  type CounterStore,
  type PlanSource,
  type PriceBook,
} from '@tallygate/core'
import { Identifier, type Pepper } from '@tallygate/identity'
import type { QuotaOptions } from './quota-options.ts'

/** What of the options of a quota can be replaced while calls go on. */
export const REPLACEABLE = [
  'plans',
  'defaultPlans',
  'combine',
  'assignments',
  'severalGroups',
  'overrides',
  'prices',
  'registry',
  'unregistered',
  'missing',
] as const satisfies readonly (keyof QuotaOptions)[]

/** See {@link REPLACEABLE}. What is absent is as if it had never been said. */
export type CallerOptions = Pick<QuotaOptions, (typeof REPLACEABLE)[number]>

export interface CallerRulesParts {
  readonly pepper: Pepper
  readonly clock: Clock
  /** The counter store's time, by which overrides end. */
  readonly storeClock: Clock
  readonly store: CounterStore
}

/** Who may call, and under which plans. A call keeps the ones that it began under. */
export class CallerRules {
  readonly planSource: PlanSource
  readonly prices: PriceBook | undefined
  readonly identifier: Identifier

  /** @throws QuotaError `ERR_QUOTA_CONFIG` or `ERR_QUOTA_CAPABILITY`, naming what is wrong and what to do. */
  constructor(options: QuotaOptions, { pepper, clock, storeClock, store }: CallerRulesParts) {
    this.planSource = planSourceOf(options, storeClock)
    this.prices = options.prices
    assertServable(this.planSource, store, options.prices)
    this.identifier = new Identifier({ ...identifierOptions(options), pepper, clock })
  }
}

function planSourceOf(options: QuotaOptions, clock: Clock): PlanSource {
  const { plans = [], defaultPlans, combine, assignments, severalGroups, overrides } = options
  if ('plansOf' in plans) {
    const beside = { defaultPlans, assignments, severalGroups, overrides }
    for (const [name, value] of Object.entries(beside)) {
      if (value !== undefined)
        throw new QuotaError(
          'ERR_QUOTA_CONFIG',
          `${name} is set beside a plan source: let the source answer with ${name === 'defaultPlans' ? 'them' : 'it'}`,
        )
    }
    return plans
  }
  return new MemoryPlanSource({
    plans,
    clock,
    defaults: defaultPlans ?? [],
    ...(combine === undefined ? {} : { combine }),
    ...(assignments === undefined ? {} : { assignments }),
    ...(severalGroups === undefined ? {} : { severalGroups }),
    ...(overrides === undefined ? {} : { overrides }),
  })
}

function identifierOptions({
  registry,
  unregistered,
  missing,
  credential,
  ipv6Subnet,
}: QuotaOptions): Omit<ConstructorParameters<typeof Identifier>[0], 'pepper' | 'clock'> {
  return {
    ...(registry === undefined ? {} : { registry }),
    ...(unregistered === undefined ? {} : { unregistered }),
    ...(missing === undefined ? {} : { missing }),
    ...(credential === undefined ? {} : { credential }),
    ...(ipv6Subnet === undefined ? {} : { ipv6Subnet }),
  }
}

function assertServable(
  { plans, hasAlternatives = false }: PlanSource,
  { capabilities }: CounterStore,
  prices: PriceBook | undefined,
): void {
  if (hasAlternatives && !capabilities.has('alternatives')) {
    throw new QuotaError(
      'ERR_QUOTA_CAPABILITY',
      'callers can have plans of which any one is enough, which the counter store can not decide: use combine all',
    )
  }
  for (const plan of plans) {
    assertCountable(plan, { capabilities })
    assertPriced(plan, prices)
  }
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a plan that counts what no price book tells. */
export function assertPriced({ name, units }: CompiledPlan, prices: PriceBook | undefined): void {
  for (const unit of units) {
    if (!PRICED_UNITS.has(unit)) continue
    if (prices === undefined)
      throw new QuotaError('ERR_QUOTA_CONFIG', `plan ${name} counts ${unit}, and nobody knows prices: set prices`)
    if (unit === 'credits' && !prices.hasCredits)
      throw new QuotaError(
        'ERR_QUOTA_CONFIG',
        `plan ${name} counts credits, of which the price book says nothing: set its creditsPerUnit, or credits of prices`,
      )
  }
}

/** @throws QuotaError `ERR_QUOTA_CAPABILITY` for a plan that needs what the store can't do. */
export function assertCountable(
  { name, needs }: CompiledPlan,
  { capabilities }: Pick<CounterStore, 'capabilities'>,
): void {
  for (const need of needs) {
    if (capabilities.has(need)) continue
    throw new QuotaError(
      'ERR_QUOTA_CAPABILITY',
      `plan ${name} needs ${need}, which the counter store can't do: change the limit, or use another store`,
    )
  }
}
