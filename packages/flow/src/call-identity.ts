import { DEFAULT_TENANT, type Dimensions, type Subject } from '@tallygate/core'
import { fingerprint, type CredentialSource, type Identification } from '@tallygate/identity'
import type { Dialect } from '@tallygate/metering'
import type { CallerRules } from './caller-rules.ts'
import type { CallRequest } from './metered-request.ts'
import type { Walk } from './walk.ts'

/** Why a credential was not taken. */
export type IdentityRefusal = Extract<Identification, { outcome: 'refused' }>['reason']

const REPORTABLE = /^[A-Za-z0-9._:/-]{1,128}$/
const NO_DIMENSIONS: Dimensions = {}

/** Whether a text from outside has only characters that can stand in a report. */
export function isReportable(text: unknown): text is string {
  return typeof text === 'string' && REPORTABLE.test(text)
}

/** Who makes a call, and what it is a part of, as far as that is known yet. */
export class CallIdentity {
  readonly #walk: Walk
  readonly #identifier: CallerRules['identifier']
  readonly #request: CallRequest
  readonly #attemptId: string
  #subject: Subject | undefined
  #source: CredentialSource | undefined
  #isKeyRefused = false
  /** That of the session whose later call this is. */
  #sessionId: string | undefined

  constructor(walk: Walk, { identifier }: CallerRules, request: CallRequest, attemptId: string) {
    this.#walk = walk
    this.#identifier = identifier
    this.#request = request
    this.#attemptId = attemptId
  }

  /** `undefined` before it was identified. */
  get subject(): Subject | undefined {
    return this.#subject
  }

  get tenant(): string {
    return this.#subject?.tenant ?? DEFAULT_TENANT
  }

  get dimensions(): Dimensions {
    return this.#subject?.dimensions ?? NO_DIMENSIONS
  }

  /** Where the credential stood; `undefined` where there was none, or a function found it. */
  get credentialSource(): CredentialSource | undefined {
    return this.#source
  }

  /** Whether a key was presented that nobody has handed out: one that is malformed, unknown or disabled. */
  get hasUnknownKey(): boolean {
    return this.#isKeyRefused || this.#subject?.standing === 'unregistered'
  }

  /** The logical call: attempts of a subject with the same `Idempotency-Key` share it, and so do the calls of a session. */
  get callId(): string {
    if (this.#sessionId !== undefined) return this.#sessionId
    const key = this.#request.headers['idempotency-key']
    if (typeof key !== 'string' || key === '') return this.#attemptId
    return fingerprint(this.#walk.pepper, `${this.#subject?.tenant} ${this.#subject?.id} ${key}`, 'call')
  }

  /** The run that the call is part of, if its header says so in characters that can stand in a report. */
  get parentId(): string | undefined {
    const parent = this.#request.headers[this.#walk.parentHeader]
    return isReportable(parent) ? parent : undefined
  }

  /** Looks at the credential. Returns why it is not taken; a promise only where that takes time. */
  identify(dialect: Dialect): IdentityRefusal | undefined | Promise<IdentityRefusal | undefined> {
    const found = this.#identifier.identify(this.#request, dialect)
    return found instanceof Promise ? found.then((late) => this.#take(late)) : this.#take(found)
  }

  /** Takes a subject that the host vouches for. */
  identifyAs(subject: Subject): void {
    this.#subject = subject
  }

  /** Takes over who makes the call that comes before this one in its session. */
  follow(before: CallIdentity): void {
    this.#sessionId = before.callId
    this.#subject = before.#subject
  }

  #take(found: Identification): IdentityRefusal | undefined {
    if (found.outcome === 'refused') {
      this.#isKeyRefused = found.reason !== 'missing'
      return found.reason
    }
    this.#subject = found.subject
    this.#source = found.source
    return undefined
  }
}
