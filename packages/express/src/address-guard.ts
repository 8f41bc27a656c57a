import { assertMembers, configError } from '@tallygate/core'
import { addressKey, consoleLogger, warnOnce, type Logger } from '@tallygate/flow'
import type { Request } from 'express'
import { RateLimiterMemory, type RateLimiterAbstract } from 'rate-limiter-flexible'
import type { SharedOptions } from './middleware-options.ts'
import type { Guesses } from './undecided-guesses.ts'

/** What is asked of a limiter of rate-limiter-flexible. */
export type GuardLimiter = Pick<RateLimiterAbstract, 'consume' | 'get' | 'points' | 'duration'>

/** Options that both guards share. Names are those of express-rate-limit where the meaning is. */
export interface GuardOptions extends Pick<SharedOptions, 'skip' | 'handler' | 'validate'> {
  /** How many from one address in a window, from 1. */
  readonly limit?: number
  /** Whole seconds in milliseconds. A window begins with the first that is counted. */
  readonly windowMs?: number
  /**
   * Counts in place of one in memory, in place of `limit` and `windowMs`: one in Redis, that several processes share.
   * While it fails, requests pass: give it an `insuranceLimiter`.
   */
  readonly limiter?: GuardLimiter
  /** Bits of an IPv6 address that tell callers apart, from 32 to 64. Default: 56. */
  readonly ipv6Subnet?: number
  readonly logger?: Logger
}

const OPTIONS = [
  'limit',
  'windowMs',
  'limiter',
  'ipv6Subnet',
  'logger',
  'skip',
  'handler',
  'validate',
] as const satisfies readonly (keyof GuardOptions)[]

const NONE: Guesses = { count: 0, waitMs: 0 }

/** Counts by the address of a request, as far as Express trusts the proxies before it. */
export class AddressGuard {
  readonly #of: string
  readonly #limiter: GuardLimiter
  readonly #ipv6Subnet: number
  readonly #logger: Logger
  readonly #validates: boolean

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the option, its value and the remedy. */
  constructor(options: GuardOptions, of: string, own: readonly string[] = []) {
    assertMembers(options, [...OPTIONS, ...own], of)
    const { ipv6Subnet = 56, logger = consoleLogger, validate = true } = options
    if (!Number.isInteger(ipv6Subnet) || ipv6Subnet < 32 || ipv6Subnet > 64)
      throw configError(`${of}.ipv6Subnet`, ipv6Subnet, 'use a whole number from 32 to 64')
    this.#of = of
    this.#limiter = limiterOf(options, of)
    this.#ipv6Subnet = ipv6Subnet
    this.#logger = logger
    this.#validates = validate
  }

  /** Counts one. Returns in how many milliseconds its address has room again, if it has none left. */
  consume(req: Request): Promise<number | undefined> {
    return this.#ask(req, async (key) => {
      try {
        await this.#limiter.consume(key)
        return undefined
      } catch (rejection) {
        // A refusal is no Error.
        if (rejection instanceof Error) throw rejection
        return waitOf(rejection as { readonly msBeforeNext?: number })
      }
    })
  }

  /** How many were counted of an address, and in how many milliseconds they are forgotten; none while the limiter fails. */
  async counted(req: Request): Promise<Guesses> {
    const found = await this.#ask(req, async (key) => {
      const { duration } = this.#limiter
      const counted = await this.#limiter.get(key)
      // In memory, what has ended is still there until its timer fires.
      if (counted === null || (duration > 0 && counted.msBeforeNext <= 0)) return undefined
      return { count: counted.consumedPoints, waitMs: waitOf(counted) }
    })
    return found ?? NONE
  }

  /** How many may be counted of an address before it has no room left. */
  get points(): number {
    return this.#limiter.points
  }

  /** What stands for the address of a request; `undefined` where nobody is told apart. */
  addressOf({ ip }: Request): string | undefined {
    return ip === undefined ? undefined : addressKey(ip, this.#ipv6Subnet)
  }

  async #ask<T>(req: Request, ask: (key: string) => Promise<T | undefined>): Promise<T | undefined> {
    if (this.#validates) this.#warnOfProxy(req)
    const address = this.addressOf(req)
    // Nobody is told apart there: a Unix socket, or a caller who has gone.
    if (address === undefined) return undefined
    try {
      return await ask(address)
    } catch {
      warnOnce(this.#logger, `${this.#of} can't count, as its limiter fails, and lets requests pass`)
      return undefined
    }
  }

  #warnOfProxy({ ip, headers, app }: Request): void {
    if (ip !== undefined && (headers['x-forwarded-for'] === undefined || app.get('trust proxy') !== false)) return
    warnOnce(
      this.#logger,
      `${this.#of} takes callers behind a proxy for one, or sees no address: set Express's 'trust proxy'`,
    )
  }
}

function limiterOf({ limiter, limit, windowMs }: GuardOptions, of: string): GuardLimiter {
  if (limiter !== undefined) {
    if (typeof limiter?.consume !== 'function' || typeof limiter.get !== 'function')
      throw configError(`${of}.limiter`, limiter, 'use a limiter of rate-limiter-flexible')
    const other = limit ?? windowMs
    if (other !== undefined)
      throw configError(
        `${of}.${limit === undefined ? 'windowMs' : 'limit'}`,
        other,
        'the limiter says it: leave it out',
      )
    return limiter
  }
  if (!Number.isSafeInteger(limit) || limit! < 1) throw configError(`${of}.limit`, limit, 'use a whole number from 1')
  if (!Number.isSafeInteger(windowMs) || windowMs! < 1_000 || windowMs! % 1_000 !== 0 || windowMs! > 86_400_000)
    throw configError(`${of}.windowMs`, windowMs, 'use whole seconds in milliseconds, from 1000 to 86400000')
  return new RateLimiterMemory({ points: limit!, duration: windowMs! / 1_000 })
}

/** Points that never expire come back never. */
function waitOf({ msBeforeNext = 0 }: { readonly msBeforeNext?: number }): number {
  return msBeforeNext < 0 ? Infinity : msBeforeNext
}
