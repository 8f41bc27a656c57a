import type { Dimensions } from './subject.ts'
import { configError } from './config-error.ts'
import { QuotaError } from './quota-error.ts'

/** A key that was handed out. Its secret is known only by fingerprint. */
export interface KeyRecord {
  /** Stays when the secret or the pepper changes; 1 to 128 of `A-Z a-z 0-9 . _ : / -`. */
  readonly id: string
  readonly fingerprint: string
  readonly tenant?: string
  /** Plan names; absent leaves it to the plan source. */
  readonly plans?: readonly string[]
  readonly dimensions?: Dimensions
  /** Groups, for assignments and overrides, beside the dimension `group`. */
  readonly groups?: readonly string[]
  /** From this instant the key is refused. */
  readonly expiresAtMs?: number
  readonly disabled?: boolean
}

/** Knows the keys that were handed out. */
export interface KeyRegistry {
  /** The record of a fingerprint; `undefined` if there is none. */
  find(fingerprint: string): Promise<KeyRecord | undefined>
  /** The record of an id, for reports on a key that is not at hand. Absent where the registry can't tell. */
  findById?(id: string): Promise<KeyRecord | undefined>
}

const ID = /^[A-Za-z0-9._:/-]{1,128}$/

/** Keys from a configuration. */
export class MemoryKeyRegistry implements KeyRegistry {
  readonly #records: ReadonlyMap<string, KeyRecord>

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for an id that could not stand in a key, or when two share an id or a secret. */
  constructor(records: readonly KeyRecord[]) {
    const ids = new Set<string>()
    const byFingerprint = new Map<string, KeyRecord>()
    for (const [index, record] of records.entries()) {
      if (typeof record.id !== 'string' || !ID.test(record.id)) {
        throw configError(`keys[${index}].id`, record.id, 'use 1 to 128 letters, digits or . _ : / -')
      }
      if (record.expiresAtMs !== undefined && !Number.isFinite(record.expiresAtMs)) {
        throw configError(`keys[${index}].expiresAtMs`, record.expiresAtMs, 'use milliseconds since 1970')
      }
      const other = byFingerprint.get(record.fingerprint)
      if (other !== undefined) {
        throw new QuotaError(
          'ERR_QUOTA_CONFIG',
          `keys ${other.id} and ${record.id} have the same secret: give each its own`,
        )
      }
      if (ids.has(record.id)) throw new QuotaError('ERR_QUOTA_CONFIG', `two keys have the id ${record.id}: rename one`)
      ids.add(record.id)
      byFingerprint.set(record.fingerprint, record)
    }
    this.#records = byFingerprint
  }

  async findById(id: string): Promise<KeyRecord | undefined> {
    return this.#records.values().find((record) => record.id === id)
  }

  async find(fingerprint: string): Promise<KeyRecord | undefined> {
    return this.#records.get(fingerprint)
  }
}
