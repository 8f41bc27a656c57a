import { RATES, type RateCard } from '@tallygate/core'
import { z } from 'zod'

const MOST = 4_000_000
const rate = z
  .number()
  .min(0)
  .max(MOST)
  .refine((amount) => Number(amount.toFixed(9)) === amount, 'use up to nine decimals')
  .optional()
const rates = Object.fromEntries(RATES.map((name) => [name, rate])) as Record<keyof RateCard, typeof rate>
const names = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
  error: 'use a name, or a list of names',
})

const longContext = z.strictObject({ above: z.number().int().min(0), ...rates })
const longContexts = z.union([longContext, z.array(longContext)], { error: 'use {above: 200000, input: …}' })
const tier = z.strictObject({
  multiplier: z.number().min(0).max(1_000).optional(),
  longContext: longContexts.optional(),
  ...rates,
})
const price = z.strictObject({
  model: names,
  provider: names.optional(),
  /** Date, or instant in UTC. */
  from: z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?Z)?$/, 'use a date such as 2026-01-31')
    .optional(),
  ...rates,
  longContext: longContexts.optional(),
  tiers: z.record(z.string(), tier).optional(),
  credits: z.strictObject(rates).optional(),
})

/** What a price file can say. Members that are not here are mistakes. */
export const priceFileSchema = z.strictObject({
  version: z
    .string()
    .regex(/^[\x21-\x7e]{1,64}$/, 'use 1 to 64 visible characters without spaces')
    .optional(),
  /** For people: when its prices were looked up, and where. */
  asOf: z.string().optional(),
  sources: z.array(z.string()).optional(),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'use a code of ISO 4217, such as USD')
    .optional(),
  prefer: z.enum(['book', 'reported']).optional(),
  creditsPerUnit: z.number().min(0).max(MOST).optional(),
  prices: z.array(price),
})

/** A price file that fits the schema. */
export type PriceFile = z.infer<typeof priceFileSchema>
