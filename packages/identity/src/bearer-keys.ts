import { createHash, timingSafeEqual } from 'node:crypto'
import { QuotaError } from '@tallygate/core'
import type { Headers } from './credential.ts'

const LEAST_CHARACTERS = 16
/** What a header can carry as one word. */
const PRESENTABLE = /^[\x21-\x7e]+$/

/**
 * Tells whether a request carries one of the keys of its administrators, as `Authorization: Bearer`. Takes the same time
 * whichever key is wrong, and wherever.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` without keys, and for keys of fewer than 16 characters or not of visible ASCII.
 */
export function bearerKeys(keys: readonly string[]): (headers: Headers) => boolean {
  if (keys.length === 0 || keys.some((key) => key.length < LEAST_CHARACTERS)) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `keys of administrators have at least ${LEAST_CHARACTERS} characters, at random`,
    )
  }
  if (!keys.every((key) => PRESENTABLE.test(key))) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      'a key of an administrator has blanks or characters that no header can carry: use visible ASCII alone',
    )
  }
  const digests = keys.map(digestOf)
  return ({ authorization }) => {
    const presented = /^Bearer +(\S+)\s*$/i.exec(String(authorization ?? ''))?.[1]
    if (presented === undefined) return false
    const digest = digestOf(presented)
    return digests.map((each) => timingSafeEqual(each, digest)).includes(true)
  }
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
