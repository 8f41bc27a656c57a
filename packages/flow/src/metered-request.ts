import type { Headers } from '@tallygate/identity'
import {
  isFormType,
  matchAdapter,
  matchServedBy,
  parseFormBody,
  parseJsonBody,
  readRequestFacts,
  type AdapterMatch,
  type BodyFault,
  type Raw,
  type RequestFacts,
} from '@tallygate/metering'
import { injectIncludeUsage } from './inject-usage.ts'

/** A request, as plain values. */
export interface CallRequest {
  readonly method: string
  /** Path and query below the mount point. */
  readonly url: string
  readonly headers: Headers
  /** Of the client, as far as the host trusts its proxies. Read only where there is no key. */
  readonly address?: string | undefined
  /** What stands for the connection that the request came on, the same for all requests on it. */
  readonly connection?: object | undefined
}

/** Bodies above this are not kept for counting them later. */
const MOST_KEPT_BYTES = 1_048_576
/** Headers that say that the caller has signed the body: then no byte of it may change. */
const SIGNATURES = ['signature', 'signature-input', 'content-digest', 'digest', 'x-amz-content-sha256']
/** Files in a form have fewer tokens than bytes: sound at 6 kbit/s has 75 bytes for each, images have a most of their own. */
const LEAST_FILE_BYTES_PER_TOKEN = 64
const MOST_IMAGE_TOKENS = 8_192
const UNREAD: RequestFacts = { model: undefined, stream: false, outputCeiling: undefined }

/** The request of a call, as far as metering looks into it. */
export class MeteredRequest {
  #match: AdapterMatch | undefined
  readonly #url: string
  readonly #headers: Headers
  #facts = UNREAD
  #body: Buffer | undefined
  #parsed: Raw | undefined
  #bytes = 0
  #isUsageInjected = false
  #asksUsage = false
  #isForm = false

  constructor({ method, url, headers }: CallRequest) {
    this.#match = matchAdapter(method, url)
    this.#url = url
    this.#headers = headers
  }

  /** The operation, where it is one that is metered. */
  get match(): AdapterMatch | undefined {
    return this.#match
  }

  /** Tells who serves the operation: some do in ways of their own. */
  servedBy(provider: string): void {
    if (this.#match !== undefined) this.#match = matchServedBy(this.#match, this.#url, provider)
  }

  /** Whether a body of this type can be read. */
  accepts(contentType: string): boolean {
    return this.#match?.adapter.request.isForm === true && isFormType(contentType)
  }

  /** What the request says of itself; empty before it was read. */
  get facts(): RequestFacts {
    return this.#facts
  }

  /** Size of the body. */
  get bytes(): number {
    return this.#bytes
  }

  /** Not fewer input tokens than the request can have, uncounted. */
  get inputBound(): number {
    const { adapter } = this.#match ?? {}
    if (adapter !== undefined && !adapter.bills.includes('tokens')) return 0
    return this.#isForm ? Math.ceil(this.#bytes / LEAST_FILE_BYTES_PER_TOKEN) + MOST_IMAGE_TOKENS : this.#bytes
  }

  /** The body, for counting it; absent before it was read, and where it is too large to be kept. */
  get body(): Buffer | undefined {
    return this.#body
  }

  /** Whether the stream was asked for its usage in the caller's place, so that the answer is to be changed back. */
  get isUsageInjected(): boolean {
    return this.#isUsageInjected
  }

  /** Whether the caller itself has asked a stream for its usage. */
  get asksUsage(): boolean {
    return this.#asksUsage
  }

  /** Reads a body. Returns what is wrong with it. */
  read(body: Buffer): BodyFault | undefined {
    const type = String(this.#headers['content-type'] ?? '')
    if (this.accepts(type)) return this.#readForm(body, type)
    const parsed = parseJsonBody(body)
    if (!parsed.ok) return parsed.fault
    this.#take(body, parsed.value)
    return undefined
  }

  /** As {@link read}, for a body that the host has parsed and whose bytes are gone. */
  readParsed(value: Raw): BodyFault | undefined {
    let body: Buffer
    try {
      body = Buffer.from(JSON.stringify(value))
    } catch {
      // Deeper than it can be written again, although it could be parsed.
      return 'not-json'
    }
    this.#take(body, value)
    return undefined
  }

  /**
   * The bytes to forward in place of the caller's, where an event stream must be asked for its usage; `undefined` where
   * the caller's own are to go on.
   */
  inject(): Buffer | undefined {
    if (this.match?.adapter.injects === undefined || !this.#facts.stream) return undefined
    if (this.#body === undefined || this.#parsed === undefined) return undefined
    if (SIGNATURES.some((name) => this.#headers[name] !== undefined)) return undefined
    const changed = injectIncludeUsage(this.#body, this.#parsed)
    this.#isUsageInjected = changed !== undefined
    return changed
  }

  /** Lets go of what only the way to the provider needs. */
  forwarded(): void {
    this.#parsed = undefined
    if (this.#bytes > MOST_KEPT_BYTES) this.#body = undefined
  }

  /** A form: what it holds is no text to count, and goes on as it came. */
  #readForm(body: Buffer, type: string): BodyFault | undefined {
    const parsed = parseFormBody(body, type)
    if (!parsed.ok) return parsed.fault
    this.#facts = readRequestFacts(this.match!, parsed.value)
    this.#bytes = body.length
    this.#isForm = true
    return undefined
  }

  #take(body: Buffer, value: Raw): void {
    this.#facts = readRequestFacts(this.match!, value)
    this.#bytes = body.length
    this.#body = body
    this.#parsed = value
    const options = value['stream_options'] as { readonly include_usage?: unknown } | null | undefined
    this.#asksUsage = options?.include_usage === true
  }
}
