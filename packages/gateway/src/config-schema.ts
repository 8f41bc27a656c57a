import { dollars, MAX_UNITS, UNITS } from '@tallygate/core'
import { z } from 'zod'
import { DURATION, durationMs } from './duration.ts'
import { instantMs } from './instant.ts'

const CALENDAR = ['second', 'minute', 'hour', 'day', 'week', 'month', 'year'] as const

const AS_DURATION = 'use a duration such as 250ms, 30s, 15m, 24h or 7d'
const durationFrom = (leastMs: number): z.ZodType<number, string> =>
  z
    .string(AS_DURATION)
    .regex(DURATION, { abort: true, error: AS_DURATION })
    .transform((text, context) => {
      const ms = durationMs(text)
      if (ms !== undefined && ms >= leastMs) return ms
      context.addIssue({ code: 'custom', message: AS_DURATION })
      return z.NEVER
    })
const duration = durationFrom(1)
const REDIS = 'use memory, or a URL that begins with redis:// or rediss://, or a list of such for a Redis Cluster'
const wholeSeconds = duration.refine((ms) => ms % 1_000 === 0 && ms <= 86_400_000, 'use whole seconds, up to 24h')
const LONG_ENOUGH = 'use at least 16 characters, at random'
const port = z.number().int().min(0).max(65_535)
/** Characters that a header can carry: with others, no request could present it. */
const secret = z.string().regex(/^[\x21-\x7e]+$/, 'use visible ASCII characters, without spaces')
const target = z
  .string()
  .refine(isOrigin, 'use an http or https URL without a query or a user, such as https://api.openai.com')

const anchor = z.strictObject({
  dayOfMonth: z.number().int().min(1).max(31).optional(),
  weekday: z.number().int().min(1).max(7).optional(),
  hour: z.number().int().min(0).max(23).optional(),
})
/** `day`; `{fixed: day, zone: Europe/Berlin}`; `{sliding: 60s, buckets: 10}`; `{first-use: 24h, then: restart}`; `lifetime`. */
const window = z.union(
  [
    z.enum([...CALENDAR, 'lifetime', 'concurrent']),
    z.strictObject({
      fixed: z.enum(CALENDAR),
      count: z.number().int().min(1).optional(),
      zone: z.string().optional(),
      anchor: anchor.optional(),
    }),
    // Aligned to the epoch: it has no calendar, so neither zone nor anchor.
    z.strictObject({ fixed: duration }),
    z.strictObject({ sliding: duration, buckets: z.number().int().min(1).max(1_000).optional() }),
    z.strictObject({ 'first-use': duration, then: z.enum(['restart', 'end']) }),
  ],
  { error: 'use day, {fixed: day, zone: …}, {sliding: 60s}, {first-use: 24h, then: restart}, lifetime or concurrent' },
)

const change = z.enum(['now', 'next-window'])
const MONEY = /^(?:\$(\d{1,7}(?:\.\d{1,9})?)|(\d{1,7}(?:\.\d{1,9})?) ([A-Z]{3}))$/
const AS_MONEY = 'use a whole number, null, or, of cost, money such as $5, $0.25 or 5 EUR'
/** `$5`, `$0.25`; `5 EUR` where the prices are in euros. */
const money = z
  .string()
  .regex(MONEY, { abort: true, error: AS_MONEY })
  .transform((text, context) => {
    const [, inDollars, amount = inDollars, currency = 'USD'] = MONEY.exec(text) ?? []
    try {
      return { nanos: dollars(amount ?? ''), currency }
    } catch {
      context.addIssue({ code: 'custom', message: 'use at most $4000000' })
      return z.NEVER
    }
  })
const quota = z.union([z.number().int().min(0).max(MAX_UNITS).nullable(), money], { error: AS_MONEY })
const limit = z.strictObject({
  name: z.string(),
  unit: z.enum(UNITS),
  quota,
  window,
  per: z.array(z.string()).optional(),
  when: z
    .strictObject({
      model: z.array(z.string()).optional(),
      service: z.array(z.string()).optional(),
      route: z.array(z.string()).optional(),
    })
    .optional(),
  trip: z.enum(['fits', 'reached', 'exceeded']).optional(),
  onTrip: z.enum(['refuse', 'flag']).optional(),
  mode: z.enum(['enforce', 'shadow']).optional(),
  /** Whether a stream under way for which the quota gives nothing more may finish, or is cut there. */
  onStream: z.enum(['finish', 'cut']).optional(),
  onChange: z.strictObject({ quota: change.optional(), duration: change.optional() }).optional(),
  onUnavailable: z
    .union([z.enum(['refuse', 'admit']), z.strictObject({ local: z.number().gt(0).lte(1) })], {
      error: 'use refuse, admit, or {local: 0.1} with a share of the quota from above 0 to 1',
    })
    .optional(),
})
const status = z.number().int().min(100).max(599)
/** Which attempts count, and which are given back. */
const count = z.strictObject({
  on: z.enum(['attempt', 'success', 'http200']).optional(),
  refundOn: z
    .array(
      z.union([status, z.enum(['4xx', '5xx', 'failed', 'aborted'])], {
        error: 'use a status from 100 to 599, 4xx, 5xx, failed or aborted',
      }),
    )
    .optional(),
})
const plan = z.strictObject({
  limits: z.array(limit),
  version: z.string().optional(),
  onExpiry: z.enum(['keep', 'release']).optional(),
  count: count.optional(),
  /** Calls of models without a price, where a limit counts cost or credits. */
  unpriced: z.enum(['refuse', 'flag', 'family-max']).optional(),
  onShortRoom: z
    .union([z.literal('refuse'), z.strictObject({ lower: z.number().int().min(1).max(MAX_UNITS) })], {
      error: 'use refuse, or {lower: 16} with the fewest tokens of output that are worth a call',
    })
    .optional(),
  labels: z.record(z.string(), z.string()).optional(),
})
/** One kind of callers, by exactly one of these; of the tenant `default` unless it names another. */
const callers = { tenant: z.string().optional(), user: z.string().optional(), key: z.string().optional() }
const match = z.strictObject({ ...callers, group: z.string().optional() })
const date = z
  .string()
  .refine((text) => instantMs(text) !== undefined, 'use a date such as 2027-01-31, in UTC, or 2027-01-31T12:00:00Z')
const assignment = z.strictObject({
  for: match,
  plans: z.array(z.string()),
  combine: z.enum(['all', 'any']).optional(),
})
const override = z.strictObject({
  for: match.extend({ plan: z.string().optional() }),
  /** Plan and limit: `pro/tokens-per-day`. */
  limit: z.string(),
  quota,
  /** Its last instant is the one before. */
  until: date.optional(),
})
const provider = z.strictObject({
  /** Where its calls go, and nowhere else. */
  target,
  /** Path under which the gateway offers it. Default: its name. */
  path: z
    .string()
    .regex(/^\/[A-Za-z0-9._~/-]*$/, 'use a path such as /openai')
    .optional(),
  /** `pass`, or the provider's key to swap in. */
  credential: z
    .union([z.literal('pass'), z.strictObject({ swap: secret })], {
      error: 'use pass, or {swap: …} with a key of visible ASCII characters',
    })
    .optional(),
  credentialHeader: z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'use the name of a header')
    .optional(),
  unmetered: z.enum(['refuse', 'flag', 'pass']).optional(),
  timeout: duration.optional(),
  /** What carries the calls. Default: `http-proxy-middleware`; `undici` saves CPU of small calls. */
  forwarder: z.enum(['http-proxy-middleware', 'undici']).optional(),
})
const key = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9._:/-]{1,128}$/, 'use letters, digits and . _ : / -'),
  secret: secret.min(16, LONG_ENOUGH),
  plans: z.array(z.string()).optional(),
  tenant: z.string().optional(),
  dimensions: z.record(z.string(), z.string()).optional(),
  groups: z.array(z.string()).optional(),
  expires: date.optional(),
  disabled: z.boolean().optional(),
})

const estimate = z.number().min(0).max(1_000_000)

/** What `quota.yaml` can say. Members that are not here are mistakes. */
export const configSchema = z.strictObject({
  listen: z.strictObject({ host: z.string().optional(), port: port.optional() }).optional(),
  /** Health, metrics and the administrators' report; on the loopback interface unless told otherwise. */
  administration: z
    .strictObject({
      host: z.string().optional(),
      port: port.optional(),
      keys: z.array(secret.min(16, LONG_ENOUGH)).optional(),
    })
    .optional(),
  providers: z
    .record(z.string(), provider)
    .refine((all) => Object.keys(all).length > 0, 'there is none: name at least one, with its target'),
  keys: z.array(key).optional(),
  unregistered: z.enum(['pass', 'refuse']).optional(),
  plans: z.record(z.string(), plan).optional(),
  defaultPlans: z.array(z.string()).optional(),
  combine: z.enum(['all', 'any']).optional(),
  assignments: z.array(assignment).optional(),
  severalGroups: z.enum(['first', 'all', 'any']).optional(),
  overrides: z.array(override).optional(),
  /** Files of prices, from the folder of this one; `starter`: those that come with the gateway. Later ones go before. */
  prices: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: 'use starter, a path, or a list of such' })
    .optional(),
  /** What a call is taken for that is charged by the second, the image or the search, and does not say how many. */
  estimates: z
    .strictObject({ seconds: estimate.optional(), images: estimate.optional(), searches: estimate.optional() })
    .optional(),
  /** Gateways that share the counters, for stating how far a limit can be exceeded. */
  nodes: z.number().int().min(1).optional(),
  /** `memory`, the URL of a Redis, or URLs of some nodes of a Redis Cluster. */
  counters: z
    .union(
      [
        z.string().refine((text) => text === 'memory' || isRedis(text), REDIS),
        z.array(z.string().refine(isRedis, REDIS)).min(1),
      ],
      { error: REDIS },
    )
    .optional(),
  /** How long a decision waits for the counters. Default: 250ms. */
  decideWithin: duration.refine((ms) => ms <= 10_000, 'use a duration up to 10s').optional(),
  /** What is refused by its address, before anybody is identified. */
  guards: z
    .strictObject({
      /** Requests of one address in a window; the window is a second unless told otherwise. */
      flood: z.strictObject({ limit: z.number().int().min(1), window: wholeSeconds.optional() }).optional(),
      /** Unknown keys of one address in a window; default: 10 a minute. `off`: as many as they like. */
      guesses: z
        .union(
          [
            z.literal('off'),
            z.strictObject({ limit: z.number().int().min(1).optional(), window: wholeSeconds.optional() }),
          ],
          { error: 'use off, or {limit: 10, window: 1m}' },
        )
        .optional(),
    })
    .optional(),
  /** SQLite file of the ledger. Default: `.tallygate/usage.db`. */
  ledger: z.string().optional(),
  durability: z.enum(['process', 'power']).optional(),
  /** How long the end of an answer waits for its entry, and what happens then. Default: 20ms, leave. */
  durableWithin: duration.refine((ms) => ms <= 600_000, 'use a duration up to 10m').optional(),
  onLateEntry: z.enum(['leave', 'break']).optional(),
  /** Secret by which keys are fingerprinted. Default: a file beside the ledger, created once. */
  pepper: z.string().min(32).optional(),
  /** How long another attempt after a failure, with the same `Idempotency-Key` and body, is no further request. */
  spareRetries: duration.optional(),
  /** Which calls are counted only to learn by how much counts are off. Default: when-loaded. */
  sampleCounts: z.enum(['when-loaded', 'always', 'never']).optional(),
  /** What is set aside for the output of a call that states a ceiling. Default: ceiling. */
  outputEstimate: z.enum(['ceiling', 'learned']).optional(),
  /** Path of the callers' own report. Default: `/usage`. */
  reportPath: z
    .string()
    .regex(/^\/[A-Za-z0-9._~/-]+$/, 'use a path such as /usage')
    .optional(),
  rateLimitHeaders: z.array(z.enum(['draft-8', 'draft-7', 'draft-6', 'x', 'openai', 'anthropic'])).optional(),
  exhaustedStatus: z.literal([429, 402, 403]).optional(),
  trustProxy: z
    .union([z.boolean(), z.number().int().min(0), z.string()], {
      error: 'use true, false, a number of proxies, or addresses such as "loopback, 10.0.0.0/8"',
    })
    .optional(),
  bodyLimitBytes: z.number().int().min(1_024).optional(),
  shutdown: z.strictObject({ delay: durationFrom(0).optional(), timeout: duration.optional() }).optional(),
  log: z.enum(['debug', 'info', 'warn', 'error', 'silent']).optional(),
})

function isRedis(text: string): boolean {
  return /^rediss?:\/\/./.test(text) && URL.canParse(text)
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, search, hash, username, password } = new URL(text)
  return /^https?:$/.test(protocol) && search + hash + username + password === ''
}

/** A configuration that fits the schema. */
export type Config = z.infer<typeof configSchema>
/** A window as `quota.yaml` writes it. */
export type WindowConfig = z.infer<typeof window>
/** An override as `quota.yaml` writes it. */
export type OverrideConfig = z.infer<typeof override>
/** A quota as `quota.yaml` writes it: units, money, or no limit. */
export type QuotaConfig = z.infer<typeof quota>
/** A plan as `quota.yaml` writes it. */
export type PlanConfig = z.infer<typeof plan>
