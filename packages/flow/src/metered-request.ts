import type { Headers } from '@tallygate/identity'
import {
  isFormType,
  isShortPath,
  isSessionRow,
  matchAdapter,
  matchServedBy,
  mostMediaTokens,
  parseFormBody,
  parseJsonBody,
  readRequestFacts,
  requestKind,
  tellsOperation,
  type AdapterMatch,
  type BodyFault,
  type MemberPath,
  type Raw,
  type RequestFacts,
} from '@tallygate/metering'
import { injectIncludeUsage } from './inject-usage.ts'
import { lowerCeiling } from './lower-ceiling.ts'

/** A request, as plain values. */
export interface CallRequest {
  readonly method: string
  /** Path and query below the mount point. */
  readonly url: string
  /** Path and query as the client has sent them, where that is another one. */
  readonly originalUrl?: string | undefined
  readonly headers: Headers
  /** Of the client, as far as the host trusts its proxies. Read only where there is no key. */
  readonly address?: string | undefined
  /** What stands for the connection that the request came on, the same for all requests on it. */
  readonly connection?: object | undefined
}

/** What is wrong with a request's body. */
export type RequestFault = BodyFault | 'not-of-operation'

/** Bodies above this are not kept for counting them later. */
const MOST_KEPT_BYTES = 1_048_576
const MOST_MODEL_CHARACTERS = 256
/** Larger ones are not parsed again to see what they are made of. */
const MOST_LOOKED_INTO = 262_144
/** Headers that say that the caller has signed the body: then no byte of it may change. */
const SIGNATURES = ['signature', 'signature-input', 'content-digest', 'digest', 'x-amz-content-sha256']
/** Files in a form have fewer tokens than bytes: sound at 6 kbit/s has 75 bytes for each, images have a most of their own. */
const LEAST_FILE_BYTES_PER_TOKEN = 64
const MOST_IMAGE_TOKENS = 8_192
const UNREAD: RequestFacts = { model: undefined, stream: false, outputCeiling: undefined }

/** The request of a call, as far as metering looks into it. */
export class MeteredRequest {
  /** Whether it opens a session over WebSocket, which is metered message by message. */
  readonly isSession: boolean
  #match: AdapterMatch | undefined
  readonly #method: string
  readonly #url: string
  readonly #headers: Headers
  #facts = UNREAD
  #body: Buffer | undefined
  #parsed: Raw | undefined
  #bytes = 0
  #isRead = false
  #kind: string | undefined
  #mostMediaTokens: number | undefined
  #loweredCeiling: number | undefined
  #isUsageInjected = false
  #asksUsage = false
  #isForm = false
  readonly #originalUrl: string
  #isServed = false

  constructor({ method, url, originalUrl = url, headers }: CallRequest) {
    this.#method = method
    const match = matchAdapter(method, url)
    const isOfSessions = match !== undefined && isSessionRow(match.adapter)
    this.isSession = isOfSessions && isWebSocketUpgrade(method, headers)
    // Without the upgrade, nothing begins there that could cost something.
    this.#match = isOfSessions && !this.isSession ? undefined : match
    this.#url = url
    this.#originalUrl = originalUrl
    this.#headers = headers
    if (this.isSession) this.#facts = { ...UNREAD, model: modelInQuery(url), stream: true }
  }

  /** The operation, where it is one that is metered. */
  get match(): AdapterMatch | undefined {
    return this.#match
  }

  /** Tells who serves the operation: some do in ways of their own, or charge for what is free elsewhere. */
  servedBy(provider: string): void {
    this.#isServed = true
    // Sessions are the only operations that are no POST, and were told apart by their upgrade.
    if (this.#match !== undefined) this.#match = matchServedBy(this.#match, this.#url, provider)
    else if (this.#method === 'POST') this.#match = matchAdapter(this.#method, this.#url, provider)
  }

  /** Whether only a short path says that this is a call, so that it can be a request to the host itself. */
  get isDoubtful(): boolean {
    return !this.#isServed && !this.isSession && this.#match !== undefined && isShortPath(this.#originalUrl)
  }

  /** Takes the request for one to the host itself: nothing of it is metered. */
  disown(): void {
    this.#match = undefined
    this.#facts = UNREAD
    this.#isRead = false
  }

  /** Whether a body of this type can be read. */
  accepts(contentType: string): boolean {
    return this.#match?.adapter.request.isForm === true && isFormType(contentType)
  }

  /** What the request says of itself; empty before it was read. */
  get facts(): RequestFacts {
    return this.#facts
  }

  /** Whether {@link facts} are the request's. */
  get isRead(): boolean {
    return this.#isRead
  }

  get #mediaTokens(): number {
    if (this.#parsed === undefined) return this.#mostMediaTokens ?? 0
    return (this.#mostMediaTokens ??= mostMediaTokens(this.#parsed, this.#facts.model))
  }

  /** Size of the body. */
  get bytes(): number {
    return this.#bytes
  }

  /** Not fewer input tokens than the request can have, uncounted. */
  get inputBound(): number {
    const { adapter } = this.#match ?? {}
    if (adapter !== undefined && !adapter.bills.includes('tokens')) return 0
    if (this.#isForm) return Math.ceil(this.#bytes / LEAST_FILE_BYTES_PER_TOKEN) + MOST_IMAGE_TOKENS
    return this.#bytes + this.#mediaTokens
  }

  /** The body, for counting it; absent before it was read, and where it is too large to be kept. */
  get body(): Buffer | undefined {
    return this.#body
  }

  /** What the request is made of, as `requestKind` says. Worked out for the few that are counted. */
  get kind(): string {
    return (this.#kind ??= this.#bytes > MOST_LOOKED_INTO ? 'large' : requestKind(this.#parsed ?? parsed(this.#body)))
  }

  /** Whether bytes of the body may still be changed: they are there, and the caller has not signed them. */
  get isChangeable(): boolean {
    if (this.#body === undefined || this.#parsed === undefined) return false
    return !SIGNATURES.some((name) => this.#headers[name] !== undefined)
  }

  /** Whether the output that the request allows may be lowered: it says so in its body, which may be changed. */
  get canBeLowered(): boolean {
    return this.isChangeable && this.#ceilings.length > 0
  }

  /** Where the request says how much output it allows. */
  get #ceilings(): readonly MemberPath[] {
    const ceiling = this.#match?.adapter.request.ceiling ?? 'none'
    return ceiling === 'none' ? [] : ceiling
  }

  /** Output tokens that each answer may have at most, where that was lowered in the caller's place. */
  get loweredCeiling(): number | undefined {
    return this.#loweredCeiling
  }

  /** Lowers the ceiling of each answer, or sets one, in the body that is forwarded. */
  lowerCeiling(tokens: number): void {
    this.#loweredCeiling = Math.min(tokens, this.#loweredCeiling ?? Infinity)
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
  read(body: Buffer): RequestFault | undefined {
    const type = String(this.#headers['content-type'] ?? '')
    if (this.accepts(type)) return this.#readForm(body, type)
    const parsed = parseJsonBody(body)
    if (!parsed.ok) return parsed.fault
    if (this.isDoubtful && !tellsOperation(this.#match!, parsed.value)) return 'not-of-operation'
    this.#take(body, parsed.value)
    return undefined
  }

  /** Takes the model that a session names after it was opened. Returns whether that is news. */
  learnModel(model: string | undefined): boolean {
    if (model === undefined || model === '' || this.#facts.model !== undefined) return false
    this.#facts = { ...this.#facts, model: model.slice(0, MOST_MODEL_CHARACTERS) }
    return true
  }

  /** As {@link read}, for a body that the host has parsed and whose bytes are gone. */
  readParsed(value: Raw): RequestFault | undefined {
    if (this.isDoubtful && !tellsOperation(this.#match!, value)) return 'not-of-operation'
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

  /** Names of the members at the top of the body that {@link changed} may have changed. */
  get changedMembers(): readonly string[] {
    const ceilings = this.#loweredCeiling === undefined ? [] : this.#ceilings
    return [...(this.#isUsageInjected ? ['stream_options'] : []), ...ceilings.map(([name]) => name!)]
  }

  /**
   * The bytes to forward in place of the caller's, where the ceiling was lowered, or an event stream must be asked for its
   * usage; `undefined` where the caller's own are to go on.
   */
  changed(injectsUsage: boolean): Buffer | undefined {
    const { match } = this
    const [body, parsed] = [this.#body, this.#parsed]
    if (match === undefined || body === undefined || parsed === undefined || !this.isChangeable) return undefined
    const { injects } = match.adapter
    const tokens = this.#loweredCeiling
    const lowered = tokens === undefined ? undefined : lowerCeiling(body, parsed, this.#ceilings, tokens)
    const asks = injectsUsage && injects !== undefined && this.#facts.stream
    const asked = asks ? injectIncludeUsage(lowered ?? body, parsed) : undefined
    this.#isUsageInjected = asked !== undefined
    return asked ?? lowered
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
    this.#isRead = true
    return undefined
  }

  #take(body: Buffer, value: Raw): void {
    this.#facts = readRequestFacts(this.match!, value)
    this.#bytes = body.length
    this.#isRead = true
    this.#body = body
    this.#parsed = value
    const options = value['stream_options'] as { readonly include_usage?: unknown } | null | undefined
    this.#asksUsage = options?.include_usage === true
  }
}

/** Whether a request asks for a WebSocket (RFC 6455 section 4.1). */
export function isWebSocketUpgrade(method: string | undefined, headers: Headers): boolean {
  const upgrade = headers['upgrade']
  return upgrade !== undefined && method === 'GET' && String(upgrade).toLowerCase() === 'websocket'
}

/** Whether a request opens a session that is metered: at a realtime API, over WebSocket. */
export function isSessionRequest(request: Pick<CallRequest, 'method' | 'url' | 'headers'>): boolean {
  return new MeteredRequest(request).isSession
}

/** OpenAI and those like it name the model of a session in its query, Azure the deployment. */
function modelInQuery(url: string): string | undefined {
  const at = url.indexOf('?')
  if (at === -1) return undefined
  const query = new URLSearchParams(url.slice(at + 1))
  const model = query.get('deployment') ?? query.get('model') ?? ''
  return model === '' ? undefined : model.slice(0, MOST_MODEL_CHARACTERS)
}

/** A body that could be parsed before; nothing, where it was not kept. */
function parsed(body: Buffer | undefined): Raw {
  return body === undefined ? {} : (JSON.parse(body.toString('utf8')) as Raw)
}
