import { QuotaError } from '@tallygate/core'
import { warnOnce, type Logger } from '@tallygate/flow'

/** What a function of the host may say in place of a text. */
export type HostText = string | number | undefined

/**
 * Takes what functions of the host's say of callers, which types can't vouch for: it stands in counters' keys and in the
 * ledger. Numbers are written as texts; `undefined` is nobody, or nothing.
 */
export class HostValues {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, for what is neither a text nor a finite number; logged once. */
  text(value: unknown, member: string): string | undefined {
    if (typeof value === 'string' || value === undefined) return value
    if (typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))) return String(value)
    throw this.#wrong(member, value, 'return a text or a number, or undefined where there is none')
  }

  /** Without those that the caller does not have. */
  dimensions(all: unknown): Readonly<Record<string, string>> | undefined {
    if (all === undefined) return undefined
    if (!isRecord(all)) throw this.#wrong('dimensions()', all, 'return an object of texts, and no promise')
    const found: [string, string][] = []
    for (const [name, value] of Object.entries(all)) {
      const text = this.text(value, `dimensions().${name}`)
      if (text !== undefined) found.push([name, text])
    }
    return Object.fromEntries(found)
  }

  groups(all: unknown): readonly string[] | undefined {
    if (all === undefined) return undefined
    if (!Array.isArray(all)) throw this.#wrong('groups()', all, 'return a list of texts')
    return all.map((group: unknown, index) => {
      const text = this.text(group, `groups()[${index}]`)
      if (text === undefined) throw this.#wrong(`groups()[${index}]`, group, 'leave it out of the list')
      return text
    })
  }

  /** Says of what kind the value is, and not which: what it holds is unknown. */
  #wrong(member: string, value: unknown, remedy: string): QuotaError {
    const message = `${member} is ${kindOf(value)}: ${remedy}`
    warnOnce(this.#logger, message)
    return new QuotaError('ERR_QUOTA_CONFIG', message)
  }
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !('then' in value)
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null || typeof value === 'number') return String(value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'then' in value ? 'a promise' : 'an object'
  return `a ${typeof value}`
}
