import {
  CREDENTIAL_HEADERS,
  withoutKeyProtocol,
  withoutQueryKey,
  type Call,
  type CredentialSource,
  type Dialect,
} from '@tallygate/flow'
import type { Request } from 'express'

/** What a provider gets as its key: the caller's own, this one, or what a function says. */
export type OutboundCredential = 'pass' | { readonly swap: string | ((req: Request) => string) }

/** What {@link prepareHeaders} goes by. */
export interface OutboundOptions {
  readonly credential?: OutboundCredential
  readonly credentialHeader?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Between two hops (RFC 9110 section 7.6.1), of no use to a provider, or none of its business. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'upgrade',
  'cookie',
  'forwarded',
  'via',
  'x-real-ip',
  // The body was read already, so that nobody waits for leave to send it.
  'expect',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
])
/** What `Connection` must not take away: without them, the provider would take the body for a request of its own. */
const NEVER_HOP_BY_HOP: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'content-type', 'host'])
const NOT_FORWARDED_PREFIXES = ['x-tallygate-', 'x-forwarded-']
const CREDENTIALS: ReadonlySet<string> = new Set(CREDENTIAL_HEADERS)
const KEY_HEADERS: Readonly<Record<Dialect, CredentialSource>> = {
  openai: 'authorization',
  anthropic: 'x-api-key',
  gemini: 'x-goog-api-key',
  bedrock: 'authorization',
  cohere: 'authorization',
  ollama: 'authorization',
  problem: 'authorization',
}

/** The key to swap in; `undefined` where the caller's own is passed on. */
export function credentialOf(credential: OutboundCredential = 'pass'): string | ((req: Request) => string) | undefined {
  return credential === 'pass' ? undefined : credential.swap
}

/**
 * Headers to add, by names in lower case, as those of a request have, so that each takes the place of the caller's. But
 * for `Host`: that is what goes to the provider, where `host` is what the caller said.
 */
export function addedHeaders(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  const added: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    added[lower === 'host' ? 'Host' : lower] = value
  }
  return added
}

/** Makes the headers of a request those that its provider is to get. */
export function prepareHeaders(
  req: Request,
  call: Call,
  { credential, credentialHeader, headers }: OutboundOptions,
): void {
  const swap = credentialOf(credential)
  const source = swap === undefined ? call.credentialSource : 'none'
  const named = hopByHopNames(req.headers.connection)
  const out: Record<string, string | string[]> = {}
  for (const name in req.headers) {
    if (NOT_FORWARDED.has(name) || isPrivate(name)) continue
    if (named?.includes(name) === true && !NEVER_HOP_BY_HOP.has(name)) continue
    // Of several keys, only the one that the caller was identified by: no call is made on another's account.
    if (source !== undefined && name !== source && CREDENTIALS.has(name)) continue
    out[name] = req.headers[name]!
  }
  if (out['connection'] !== undefined) out['connection'] = 'keep-alive'
  if (source !== undefined && source !== 'subprotocol') removeKeyProtocol(out)
  if (source !== undefined && source !== 'query' && req.url.includes('?')) req.url = withoutQueryKey(req.url)
  if (swap !== undefined) {
    const key = typeof swap === 'string' ? swap : swap(req)
    const name = (credentialHeader ?? KEY_HEADERS[call.dialect]).toLowerCase()
    out[name] = name === 'authorization' ? `Bearer ${key}` : key
  }
  if (headers !== undefined) Object.assign(out, headers)
  req.headers = out
}

/** What browsers offer as a protocol of a WebSocket can be a key. */
function removeKeyProtocol(headers: Record<string, string | string[]>): void {
  const offered = headers['sec-websocket-protocol']
  if (offered === undefined) return
  const kept = withoutKeyProtocol(String(offered))
  if (kept === undefined) delete headers['sec-websocket-protocol']
  else headers['sec-websocket-protocol'] = kept
}

/** Headers that `Connection` names; most requests name none. */
function hopByHopNames(connection: string | undefined): string[] | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined
  return connection
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
}

function isPrivate(name: string): boolean {
  return name.charCodeAt(0) === 0x78 && NOT_FORWARDED_PREFIXES.some((prefix) => name.startsWith(prefix))
}
