import { hash, randomBytes } from 'node:crypto'
import {
  DEFAULT_TENANT,
  monotonicClock,
  QuotaError,
  type Clock,
  type KeyRecord,
  type KeyRegistry,
  type Subject,
} from '@tallygate/core'
import { findCredential, type CredentialRequest, type CredentialSearch, type CredentialSource } from './credential.ts'
import { fingerprint } from './fingerprint.ts'
import { addressKey } from './ip-address.ts'
import type { Pepper } from './pepper.ts'
import { RecentCache } from './recent-cache.ts'

export interface IdentifierOptions {
  readonly pepper: Pepper
  /** The keys that were handed out. */
  readonly registry?: KeyRegistry
  /** What becomes of keys that the registry does not know. Default: `refuse` with a registry, `pass` without. */
  readonly unregistered?: 'pass' | 'refuse'
  /** What becomes of requests without a key; malformed ones are always refused. Default: as `unregistered`. */
  readonly missing?: 'pass' | 'refuse'
  /** Finds the key by itself, in place of the usual headers. It is a secret: it is fingerprinted. */
  readonly credential?: (request: CredentialRequest) => string | undefined
  /** Bits of an IPv6 address that tell callers without a key apart, from 32 to 64. Default: 56. */
  readonly ipv6Subnet?: number
  /** How long the registry's answer is used again, in milliseconds. Default: 30 s. */
  readonly cacheMs?: number
  readonly clock?: Clock
}

/** What is needed to tell who calls. */
export interface IdentifyRequest extends CredentialRequest {
  /** Of the client, as far as the host trusts its proxies. Read only where there is no key. */
  readonly address?: string | undefined
  /** What stands for the connection that the request came on: the next request on it mostly has the same key. */
  readonly connection?: object | undefined
}

/** Who calls, or why nobody may know. */
export type Identification =
  /** `source`: absent without a key, and where a function found it. */
  | { readonly outcome: 'identified'; readonly subject: Subject; readonly source: CredentialSource | undefined }
  | { readonly outcome: 'refused'; readonly reason: 'missing' | 'malformed' | 'unknown' }

type Found =
  | Exclude<CredentialSearch, { outcome: 'found' }>
  | { outcome: 'found'; value: string; source: CredentialSource | undefined }

interface Known {
  readonly subject: Subject | undefined
  readonly expiresAtMs: number
  readonly untilMs: number
}

/** Who called last on a connection. The key is kept no longer than its connection, which has it in its buffers. */
interface LastOnConnection {
  readonly value: string
  readonly known: Known
}

const MOST_CACHED = 10_000

/** Tells who calls by the API key that is presented. Keys are fingerprinted and forgotten, also by the cache. */
export class Identifier {
  readonly #options: IdentifierOptions
  readonly #unregistered: 'pass' | 'refuse'
  readonly #missing: 'pass' | 'refuse'
  readonly #clock: Clock
  readonly #cache = new RecentCache<string, Known>(MOST_CACHED)
  readonly #lastOn = new WeakMap<object, LastOnConnection>()
  /** Keeps the cache's digests from being looked up anywhere. */
  readonly #salt = randomBytes(16).toString('hex')

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work. */
  constructor(options: IdentifierOptions) {
    const { registry, unregistered = registry === undefined ? 'pass' : 'refuse', missing = unregistered } = options
    assertPassOrRefuse(unregistered, 'unregistered')
    assertPassOrRefuse(missing, 'missing')
    assertIpv6Subnet(options.ipv6Subnet)
    this.#options = options
    this.#unregistered = unregistered
    this.#missing = missing
    this.#clock = options.clock ?? monotonicClock
  }

  /**
   * Never throws for what a caller sends; a registry's error passes through. A promise only where the registry is asked.
   *
   * @param dialect Whose clients call; decides which place counts if a request has several keys.
   */
  identify(request: IdentifyRequest, dialect?: string): Identification | Promise<Identification> {
    const found = this.#find(request, dialect)
    if (found.outcome !== 'found') {
      if (found.outcome === 'malformed' || this.#missing === 'refuse')
        return { outcome: 'refused', reason: found.outcome }
      return { outcome: 'identified', subject: this.#anonymous(request.address), source: undefined }
    }
    const { value, source } = found
    const nowMs = this.#clock()
    const { connection } = request
    const last = connection === undefined ? undefined : this.#lastOn.get(connection)
    if (last?.value === value && nowMs < last.known.untilMs) return identified(last.known, source, nowMs)
    const digest = hash('sha256', this.#salt + value, 'base64')
    const known = this.#cache.get(digest)
    if (known === undefined || nowMs >= known.untilMs) return this.#ask(value, source, digest, nowMs)
    if (connection !== undefined) this.#lastOn.set(connection, { value, known })
    return identified(known, source, nowMs)
  }

  async #ask(
    value: string,
    source: CredentialSource | undefined,
    digest: string,
    nowMs: number,
  ): Promise<Identification> {
    const known = await this.#lookUp(value, nowMs)
    this.#cache.set(digest, known)
    return identified(known, source, nowMs)
  }

  /** Whether keys that were not handed out are refused, and whether one was can be told by its id. */
  get refusesUnregistered(): boolean {
    return this.#unregistered === 'refuse' && this.#options.registry?.findById !== undefined
  }

  /** The subject with an id: of a key that was handed out, or the fingerprint of one that was not. */
  async subjectOf(id: string, tenant: string): Promise<Subject> {
    const record = await this.#options.registry?.findById?.(id)
    if (record !== undefined && (record.tenant ?? DEFAULT_TENANT) === tenant) return registeredSubject(record)
    return { id, tenant, standing: 'unregistered', dimensions: { tenant, key: id } }
  }

  #find(request: IdentifyRequest, dialect: string | undefined): Found {
    const { credential } = this.#options
    if (credential === undefined) return findCredential(request, dialect)
    const value = credential(request)
    return value === undefined || value === '' ? { outcome: 'missing' } : { outcome: 'found', value, source: undefined }
  }

  async #lookUp(secret: string, nowMs: number): Promise<Known> {
    const { registry, pepper, cacheMs = 30_000 } = this.#options
    const id = fingerprint(pepper, secret)
    const record = await registry?.find(id)
    const untilMs = nowMs + cacheMs
    if (record !== undefined) {
      const subject = record.disabled === true ? undefined : registeredSubject(record)
      return { subject, expiresAtMs: record.expiresAtMs ?? Infinity, untilMs }
    }
    const subject = this.#unregistered === 'pass' ? unregisteredSubject(id) : undefined
    return { subject, expiresAtMs: Infinity, untilMs }
  }

  #anonymous(address = ''): Subject {
    const { pepper, ipv6Subnet } = this.#options
    const id = fingerprint(pepper, addressKey(address, ipv6Subnet), 'anon')
    return { ...unregisteredSubject(id), standing: 'anonymous' }
  }
}

function identified(
  { subject, expiresAtMs }: Known,
  source: CredentialSource | undefined,
  nowMs: number,
): Identification {
  if (subject === undefined || nowMs >= expiresAtMs) return { outcome: 'refused', reason: 'unknown' }
  return { outcome: 'identified', subject, source }
}

/**
 * The subject of an id that the host vouches for: a user of its session, say.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for an id that names nobody.
 */
export function hostSubject(
  id: string,
  dimensions: Readonly<Record<string, string>> = {},
  groups?: readonly string[],
): Subject {
  if (typeof id !== 'string' || id === '')
    throw new QuotaError('ERR_QUOTA_CONFIG', `the id of a caller is ${JSON.stringify(id)}: use a text that names one`)
  const tenant = dimensions['tenant'] ?? DEFAULT_TENANT
  return { id, tenant, standing: 'registered', ...withGroups(groups), dimensions: { ...dimensions, tenant, key: id } }
}

/** A misspelt option must not let callers pass. */
function assertPassOrRefuse(value: unknown, name: string): void {
  if (value !== 'pass' && value !== 'refuse')
    throw new QuotaError('ERR_QUOTA_CONFIG', `${name} is ${String(value)}: use pass or refuse`)
}

function assertIpv6Subnet(bits = 56): void {
  if (!Number.isInteger(bits) || bits < 32 || bits > 64)
    throw new QuotaError('ERR_QUOTA_CONFIG', `ipv6Subnet is ${bits}: use a whole number from 32 to 64`)
}

function registeredSubject({ id, tenant = DEFAULT_TENANT, plans, dimensions, groups }: KeyRecord): Subject {
  const all = { ...dimensions, tenant, key: id }
  return { id, tenant, standing: 'registered', plans, ...withGroups(groups), dimensions: all }
}

function withGroups(groups: readonly string[] | undefined): Pick<Subject, 'groups'> {
  return groups === undefined ? {} : { groups }
}

function unregisteredSubject(id: string): Subject {
  return { id, tenant: DEFAULT_TENANT, standing: 'unregistered', dimensions: { tenant: DEFAULT_TENANT, key: id } }
}
