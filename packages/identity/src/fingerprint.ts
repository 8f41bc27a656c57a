import { createHmac } from 'node:crypto'
import type { Pepper } from './pepper.ts'

/**
 * A keyed fingerprint: HMAC-SHA-256 (RFC 2104), the first 128 bits in hexadecimal behind a prefix that says what of.
 * The same for the same text and pepper, in every process.
 */
export function fingerprint(pepper: Pepper, text: string, prefix: 'key' | 'anon' | 'call' = 'key'): string {
  const digest = createHmac('sha256', pepper).update(prefix).update('\0').update(text).digest('hex')
  return `${prefix}_${digest.slice(0, 32)}`
}
