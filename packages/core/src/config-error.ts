import { QuotaError } from './quota-error.ts'

const MOST_SHOWN = 80

/** An error about a member of the configuration: where it stands, what it is, and what to use in its place. */
export function configError(at: string, value: unknown, remedy: string): QuotaError {
  return new QuotaError('ERR_QUOTA_CONFIG', `${at} is ${shown(value)}: ${remedy}`)
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for anything but an object, and for a member that it doesn't have. */
export function assertMembers(value: unknown, known: readonly string[], at: string): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw configError(at, value, `use an object with ${known.join(', ')}`)
  }
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined && !known.includes(name)) {
      throw configError(`${at}.${name}`, member, `there is no such member, use ${known.join(', ')}`)
    }
  }
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a value that is not one of those allowed. */
export function assertOneOf(value: unknown, allowed: readonly string[], at: string): void {
  if (!allowed.some((each) => each === value)) throw configError(at, value, `use ${allowed.join(', ')}`)
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for anything but a list. */
export function assertList(value: unknown, of: string, at: string): void {
  if (!Array.isArray(value)) throw configError(at, value, `use a list of ${of}`)
}

/** JSON, as far as it can tell values apart and write them at all. */
function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (value === undefined || ['number', 'bigint', 'symbol'].includes(typeof value)) return String(value)
  let text: string
  try {
    text = JSON.stringify(value) ?? typeof value
  } catch {
    text = Array.isArray(value) ? 'an array' : 'an object'
  }
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text
}
