/** What a limit can count. `tokens` is input plus output; `cost` is in whole nanodollars. */
export const UNITS = [
  'requests',
  'tokens',
  'input-tokens',
  'output-tokens',
  'cached-input-tokens',
  'reasoning-tokens',
  'cost',
  'credits',
  'seconds',
  'images',
  'searches',
] as const

/** Units of which only a price book can tell what a call uses. */
export const PRICED_UNITS: ReadonlySet<Unit> = new Set<Unit>(['cost', 'credits'])

/** One of {@link UNITS}. */
export type Unit = (typeof UNITS)[number]

/** The most that is counted in one place, 2^52 - 1: 4.5 million dollars in nanodollars; exact in every store. */
export const MAX_UNITS = 2 ** 52 - 1

/** Whole units from 0 to {@link MAX_UNITS}. A unit that is absent is unknown, which is not 0. */
export type Amounts = Readonly<Partial<Record<Unit, number>>>
