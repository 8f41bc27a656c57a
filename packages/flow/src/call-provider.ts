import { providerOf } from '@tallygate/metering'
import type { CallPricing } from './call-pricing.ts'
import type { MeteredRequest } from './metered-request.ts'

/** Who serves a call, as far as that is known yet, and whether its answers are looked into. */
export class CallProvider {
  readonly #request: MeteredRequest
  readonly #pricing: CallPricing
  #name: string | undefined
  /** Where no name tells who that is. */
  #host: string | undefined
  #learnedAs: string | undefined
  #isMetered = false

  constructor(request: MeteredRequest, pricing: CallPricing) {
    this.#request = request
    this.#pricing = pricing
  }

  /** As reports and price books name it; `undefined` where nobody has said. */
  get name(): string | undefined {
    return this.#name
  }

  get isMetered(): boolean {
    return this.#isMetered
  }

  /** Under which name the call learns: the one that was known when it was decided on. */
  get learnsAs(): string | undefined {
    return (this.#learnedAs ??= this.#name ?? this.#request.match?.adapter.provider)
  }

  /** From now on answers are looked into. */
  meter(): void {
    this.#isMetered = true
  }

  /** Takes a name, and a host that tells the ways of a provider whose name is the operator's own. */
  servedBy(name: string | undefined, host?: string): void {
    if (name !== undefined && name !== this.#name) {
      this.#name = name
      this.#request.servedBy(name)
      this.#pricing.provider = name
    }
    if (host !== undefined) this.servedAt(host)
  }

  servedAt(host: string): void {
    // What was taken for free when it was decided on stays that.
    if (this.#isMetered && this.#request.match === undefined) return
    if (providerOf(this.#name) !== undefined) return
    this.#host = host
    this.#request.servedBy(host)
  }

  /** Takes over who serves the call that comes before this one in its session. */
  follow(before: CallProvider): void {
    if (!before.#isMetered) return
    this.servedBy(before.#name, before.#host)
    this.meter()
  }
}
