import { RateLimiterMemory } from 'rate-limiter-flexible'

/** A limiter in memory that fails, while it is told to, for some keys. */
export class FailingLimiter extends RateLimiterMemory {
  failsFor: RegExp | undefined

  override async penalty(...args: Parameters<RateLimiterMemory['penalty']>): ReturnType<RateLimiterMemory['penalty']> {
    return this.#fails(args[0]) ? this.#failure() : super.penalty(...args)
  }

  override async reward(...args: Parameters<RateLimiterMemory['reward']>): ReturnType<RateLimiterMemory['reward']> {
    return this.#fails(args[0]) ? this.#failure() : super.reward(...args)
  }

  #fails(key: string | number): boolean {
    return this.failsFor?.test(String(key)) ?? false
  }

  async #failure(): Promise<never> {
    throw new Error('the connection is gone')
  }
}
