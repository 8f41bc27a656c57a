import { assertMembers, assertOneOf, configError } from '@tallygate/core'
import type { SharedOptions } from './middleware-options.ts'

const SHARED = [
  'quota',
  'requestPropertyName',
  'skip',
  'handler',
  'message',
  'statusCode',
  'standardHeaders',
  'legacyHeaders',
  'validate',
] as const satisfies readonly (keyof SharedOptions)[]

/**
 * Checks what middlewares are made with, for those who write no TypeScript: a misspelt option would mean no limit.
 *
 * @param own Options of this middleware beside those that all share.
 * @throws QuotaError `ERR_QUOTA_CONFIG`, naming the option, its value and the remedy.
 */
export function checkOptions(options: SharedOptions, own: readonly string[], of: string): void {
  assertMembers(options, [...own, ...SHARED], of)
  const { quota, standardHeaders, statusCode } = options
  if (quota !== undefined && typeof quota.begin !== 'function')
    throw configError(`${of}.quota`, quota, 'use what createQuota() makes')
  if (standardHeaders !== undefined && typeof standardHeaders !== 'boolean')
    assertOneOf(standardHeaders, ['draft-6', 'draft-7', 'draft-8'], `${of}.standardHeaders`)
  if (statusCode !== undefined && !(Number.isInteger(statusCode) && statusCode >= 400 && statusCode < 600))
    throw configError(`${of}.statusCode`, statusCode, 'use a status from 400 to 599')
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a limit that is neither a number nor a function. */
export function checkLimit(limit: unknown, of: string): void {
  if (typeof limit === 'function' || (Number.isSafeInteger(limit) && (limit as number) >= 0)) return
  throw configError(`${of}.limit`, limit, 'use a whole number from 0, or a function of the request')
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a number of bytes that no body could have. */
export function checkBodyLimit(bytes: number | undefined, of: string): void {
  if (bytes !== undefined && !(Number.isSafeInteger(bytes) && bytes > 0))
    throw configError(`${of}.bodyLimitBytes`, bytes, 'use a whole number of bytes from 1')
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a provider or a host that is no name. */
export function checkServing(options: { readonly provider?: unknown; readonly host?: unknown }, of: string): void {
  for (const name of ['provider', 'host'] as const) {
    const value = options[name]
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      throw configError(`${of}.${name}`, value, 'use a name such as mistral, or api.mistral.ai')
  }
}
