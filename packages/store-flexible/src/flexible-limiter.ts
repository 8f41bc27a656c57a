import { configError, QuotaError } from '@tallygate/core'
import {
  RateLimiterCluster,
  RateLimiterMemcache,
  RateLimiterMemory,
  RLWrapperBlackAndWhite,
  type RateLimiterAbstract,
} from 'rate-limiter-flexible'

/** What is asked of a limiter: to add, to take back, to read and to forget, without deciding anything. */
export type FlexibleLimiter = Pick<RateLimiterAbstract, 'penalty' | 'reward' | 'get' | 'delete'>

/** A key in the limiter, and for how long it has to be kept. */
export interface CountedKey {
  readonly key: string
  /** Whole seconds from now; 0: for good. Heeded only by the first to count in it. */
  readonly lifetimeSeconds: number
}

const METHODS = ['penalty', 'reward', 'get', 'delete'] as const

/**
 * @throws QuotaError `ERR_QUOTA_CONFIG` for what is no limiter, or one that can't take points back.
 */
export function assertLimiter(limiter: FlexibleLimiter, at: string): void {
  for (const method of METHODS) {
    if (typeof limiter?.[method] === 'function') continue
    throw configError(
      `${at}.${method}`,
      limiter?.[method],
      'use a limiter such as RateLimiterRedis, no union and no queue',
    )
  }
  if (limiter instanceof RateLimiterMemcache)
    throw configError(at, 'RateLimiterMemcache', 'memcached takes nothing back: use another limiter')
  if (limiter instanceof RLWrapperBlackAndWhite)
    throw configError(at, 'RLWrapperBlackAndWhite', 'its lists know none of the keys: use the limiter that it wraps')
}

/** Whether keys end by a timer of Node's, which takes no more than 2^31 - 1 ms: 24 days. */
export function endsByTimer(limiter: FlexibleLimiter): boolean {
  if (limiter instanceof RateLimiterMemory || limiter instanceof RateLimiterCluster) return true
  const { insuranceLimiter, limiter: wrapped } = limiter as {
    readonly insuranceLimiter?: FlexibleLimiter
    readonly limiter?: FlexibleLimiter
  }
  return [insuranceLimiter, wrapped].some((inner) => inner !== undefined && endsByTimer(inner))
}

/** Units counted under a key. */
export async function usedIn(limiter: FlexibleLimiter, { key }: CountedKey): Promise<number> {
  const found = await answered(limiter.get(key))
  return found === null ? 0 : Math.max(0, found.consumedPoints)
}

/** Adds units. Returns how many there are then. */
export async function add(limiter: FlexibleLimiter, counted: CountedKey, amount: number): Promise<number> {
  const { consumedPoints } = await answered(
    limiter.penalty(counted.key, amount, { customDuration: counted.lifetimeSeconds }),
  )
  return wholeOf(consumedPoints)
}

/** Takes units back. A counter that its limiter has lost meanwhile does not go below 0: it would admit more than its quota. */
export async function takeBack(limiter: FlexibleLimiter, counted: CountedKey, amount: number): Promise<void> {
  const { consumedPoints } = await answered(
    limiter.reward(counted.key, amount, { customDuration: counted.lifetimeSeconds }),
  )
  const below = -wholeOf(consumedPoints)
  if (below > 0) await add(limiter, counted, Math.min(amount, below))
}

/** Forgets a key. */
export async function forget(limiter: FlexibleLimiter, { key }: CountedKey): Promise<void> {
  await answered(limiter.delete(key))
}

async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply
  } catch (error) {
    throw unavailable(error)
  }
}

/** A failed command of a transaction comes as a figure that is none. */
function wholeOf(points: number): number {
  if (!Number.isSafeInteger(points)) throw unavailable(new Error(`it answered ${points} points`))
  return points
}

function unavailable(error: unknown): QuotaError {
  const reason = error instanceof Error ? error.message : String(error)
  return new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `the limiter did not count: ${reason}`, { cause: error })
}
