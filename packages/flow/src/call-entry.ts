import { amountsOf, type Amounts, type EntryCharge, type Reservation, type Usage } from '@tallygate/core'

/** What a handler that knows its usage tells of the call. */
export interface RecordedUsage extends Omit<Usage, 'basis'> {
  /** Default: `reported`. */
  readonly basis?: Usage['basis']
  readonly provider?: string
  readonly operation?: string
  readonly model?: string
  readonly responseModel?: string
}

/** An attempt that used no token: its provider has answered with an error. */
const NO_TOKENS: Amounts = {
  requests: 1,
  tokens: 0,
  'input-tokens': 0,
  'output-tokens': 0,
  'cached-input-tokens': 0,
  'reasoning-tokens': 0,
}

/** The figures among what a handler has told. */
export function recordedUsage({ basis = 'reported', ...told }: RecordedUsage): Usage {
  const { provider: _provider, operation: _operation, model: _model, responseModel: _responseModel, ...figures } = told
  return { ...figures, basis }
}

/**
 * What a call is charged. Unknown is not zero: a unit that is absent stays as it was reserved.
 *
 * @param usedNothing The provider has answered with an error, or not at all.
 */
export function actualAmounts(usage: Usage | undefined, usedNothing: boolean): Amounts {
  return usage === undefined && usedNothing ? NO_TOKENS : amountsOf(usage)
}

/** What an entry says of the counters that a reservation touches. */
export function entryCharges({ bound, charges }: Reservation, actual: Amounts): EntryCharge[] {
  return bound.map(({ counter, limit }, index) => {
    const { unit } = limit.definition
    const reserved = charges[index]!.amount
    const { owner, partition, name } = counter
    return { owner, partition, counter: name, unit, reserved, actual: actual[unit] ?? reserved }
  })
}
