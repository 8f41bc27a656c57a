import type { Limit } from '@tallygate/core'
import type { QuotaOptions } from '@tallygate/flow'
import type { Script } from '@tallygate/testkit'
import { get_encoding } from 'tiktoken'
import { proxied, type FORWARDERS, type TestBed } from './test-bed.ts'

type Forwarder = (typeof FORWARDERS)[number]

export const KEY = 'sk-a-key'
export const messages = [{ role: 'user' as const, content: 'Tell me of rivers.' }]
export const QUOTA = 400
/** Bytes that may pass while it is counted what is left are tokens at most; see docs/overshoot.md. */
export const AHEAD = 128
const TOKENS: Limit = { name: 't', unit: 'tokens', quota: QUOTA, window: { kind: 'lifetime' }, onStream: 'cut' }
/** Longer than any quota here, at a thousand events a second at most. */
export const ENDLESS = {
  text: Array.from({ length: 30_000 }, (_, word) => `river${word % 10}`).join(' '),
  paceMs: 1,
}

export const under = (limit: Partial<Limit> = {}): Partial<QuotaOptions> => ({
  plans: [{ name: 'p', limits: [{ ...TOKENS, ...limit }] }],
  defaultPlans: ['p'],
})

/** Serves the provider of a bed, which goes on and on unless told otherwise. */
export function streaming(bed: TestBed, forwarder?: Forwarder, script: Script = ENDLESS): Promise<string> {
  bed.provider.script = script
  return proxied(bed, {}, forwarder)
}

const encoding = get_encoding('o200k_base')

export function tokensOf(text: string): number {
  return encoding.encode_ordinary(text).length
}

export interface Read {
  readonly text: string
  /** What the library says why the answer has ended. */
  readonly reason: unknown
}
