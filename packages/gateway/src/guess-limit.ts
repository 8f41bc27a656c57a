import type { GuessGuardOptions } from '@tallygate/express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'

type Guesses = Exclude<NonNullable<NonNullable<Config['guards']>['guesses']>, 'off'>

/** How many guesses of one address are answered, in the words of the guard. What is not configured is the guard's default. */
export function guessLimit({ limit, window }: Guesses): Pick<GuessGuardOptions, 'limit' | 'windowMs'> {
  return defined({ limit, windowMs: window })
}
