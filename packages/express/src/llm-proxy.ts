import { assertMembers, assertOneOf, QuotaError, type Subject } from '@tallygate/core'
import { warnOnce, type Logger, type ProblemKind } from '@tallygate/flow'
import type { RequestHandler } from 'express'
import { forwardSession } from './forward-session.ts'
import type { Forwarder, Upstream } from './forwarder.ts'
import { HpmForwarder } from './hpm-forwarder.ts'
import { addedHeaders, credentialOf, prepareHeaders, type OutboundCredential } from './outbound-headers.ts'
import { refusalOfPath, UNMETERED, unmeteredPurpose, type Unmetered } from './proxied-path.ts'
import { contextIn, required } from './quota-context.ts'
import { SilenceWatch } from './silence-watch.ts'
import { upgradeOf } from './serve-sessions.ts'
import { sendDenial } from './send-denial.ts'
import { UndiciForwarder } from './undici-forwarder.ts'

/** What carries requests to a provider, by the name of the library. */
const FORWARDERS = { 'http-proxy-middleware': HpmForwarder, undici: UndiciForwarder } as const satisfies Record<
  string,
  new (upstream: Upstream) => Forwarder
>

export interface LlmProxyOptions {
  /** Where calls go, and nowhere else: `https://api.openai.com`. A path is put before that of the request. */
  readonly target: string
  /**
   * What the provider gets as its key. `pass`: the caller's own, in the place where it stood. `{ swap }`: this one, or
   * what a function says, in the header that the dialect of the route uses. Default: `pass`.
   */
  readonly credential?: OutboundCredential
  /**
   * What becomes of callers whom nobody vouches for (no registry knows their key, no `keyGenerator` names them) where a
   * swapped key pays for them: with `pass`, anybody who can reach the server spends it. Default: `refuse`.
   */
  readonly unregistered?: 'refuse' | 'pass'
  /** Header that carries a swapped key, where it is not the dialect's own. */
  readonly credentialHeader?: string
  /** Headers that are added to every request. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * What becomes of calls that cost something and that nothing meters: batches, fine-tuning, unknown routes. `flag`: they
   * are forwarded, count as requests, and their entries say `unmetered`. `pass`: they leave no trace. Default: `refuse`.
   */
  readonly unmetered?: Unmetered
  /**
   * How long the provider may say nothing, in milliseconds; in a session over WebSocket, both sides. Default: 10 minutes, as
   * reasoning models take their time.
   */
  readonly timeoutMs?: number
  /** Connections to the provider; more calls than that wait for one. Default: as many as there are calls. */
  readonly maxSockets?: number
  /**
   * What carries the calls. `undici` saves a tenth to a third of the CPU of a small call; sessions over WebSocket go
   * their own way with both. Default: `http-proxy-middleware`.
   */
  readonly forwarder?: keyof typeof FORWARDERS
}

const OPTIONS = [
  'target',
  'credential',
  'credentialHeader',
  'headers',
  'unmetered',
  'unregistered',
  'timeoutMs',
  'maxSockets',
  'forwarder',
] as const satisfies readonly (keyof LlmProxyOptions)[]

/** Forwards calls to one provider. */
export interface LlmProxy extends RequestHandler {
  /** For a proxy that gets no more calls: keeps no connection from now on. Calls under way go on to their end. */
  close(): void
}

/**
 * Forwards calls to one provider, through http-proxy-middleware or undici: use it after `quotaMiddleware()`. Bodies go on
 * byte for byte. Hop-by-hop headers, cookies and our own headers do not; a key reaches only the provider that it is for.
 * Errors are answered in the caller's dialect and never name the upstream. Sessions over WebSocket take `serveSessions()`
 * beside it.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for a target that is no http or https URL.
 */
export function llmProxy(options: LlmProxyOptions): LlmProxy {
  checkProxyOptions(options)
  const { timeoutMs = 600_000, maxSockets = Infinity, unmetered = 'refuse', unregistered = 'refuse' } = options
  const target = targetOf(options.target)
  const isSwapped = credentialOf(options.credential) !== undefined
  const paysForAll = unregistered === 'pass' || !isSwapped
  const upstream: Upstream = { target, isSecure: target.protocol === 'https:', isSwapped, timeoutMs, maxSockets }
  const forwarder: Forwarder = new FORWARDERS[options.forwarder ?? 'http-proxy-middleware'](upstream)
  const outbound = { ...options, headers: addedHeaders(options.headers) }
  const sessions = new SilenceWatch(timeoutMs)

  const llmProxy: RequestHandler = (req, res, next) => {
    const run = async (): Promise<void> => {
      const { call, quota } = required(contextIn(req), 'subject', 'quotaMiddleware')
      const purpose = unmetered === 'pass' ? undefined : unmeteredPurpose(req)
      const refusal =
        refusalOfPath(req) ??
        call.doubt ??
        (purpose !== undefined && unmetered === 'refuse' ? refusalOfUnmetered(req.method, purpose) : undefined) ??
        (paysForAll ? undefined : refusalOfStranger(call.subject, quota.logger))
      if (refusal !== undefined) return sendDenial(call.problem(refusal.kind, refusal.message), {}, req, res, next)
      if (purpose !== undefined) call.record({ basis: 'estimated', operation: purpose, flags: ['unmetered'] })
      call.servedAt(target.hostname ?? '')
      prepareHeaders(req, call, outbound)
      const upgrade = upgradeOf(req)
      if (upgrade !== undefined) return forwardSession(upstream, sessions, upgrade, call, req, res)
      await forwarder.forward(req, res, next)
    }
    run().catch(next)
  }
  return Object.assign(llmProxy, { close: () => forwarder.close() })
}

function checkProxyOptions(options: LlmProxyOptions): void {
  const of = 'llmProxy()'
  assertMembers(options, OPTIONS, of)
  const { credential = 'pass', unmetered = 'refuse', unregistered = 'refuse' } = options
  assertOneOf(unmetered, UNMETERED, `${of}.unmetered`)
  assertOneOf(unregistered, ['refuse', 'pass'], `${of}.unregistered`)
  if (options.forwarder !== undefined) assertOneOf(options.forwarder, Object.keys(FORWARDERS), `${of}.forwarder`)
  if (credential === 'pass') return
  const { swap } = typeof credential === 'object' && credential !== null ? credential : { swap: undefined }
  if (typeof swap !== 'function' && (typeof swap !== 'string' || swap === ''))
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `${of}.credential is none: use 'pass', or { swap } with a key or a function that gives one`,
    )
}

function refusalOfUnmetered(method: string, purpose: string): { kind: ProblemKind; message: string } {
  const message = `${method} on this path (${purpose}) is not forwarded: nothing here meters what it uses.`
  return { kind: 'not-found', message }
}

/** Why a call is not forwarded under the host's own key: whom it is for, nobody knows. */
function refusalOfStranger(
  subject: Subject | undefined,
  logger: Logger,
): { kind: ProblemKind; message: string } | undefined {
  if (subject?.standing === 'registered') return undefined
  warnOnce(
    logger,
    "llmProxy() swaps in the host's key, but a caller is not registered: give createQuota() a registry or identifyKey() a keyGenerator, or set unregistered: 'pass' where another middleware lets nobody else through",
  )
  return { kind: 'unauthenticated', message: 'The API key is not known here. Check it, or ask for a new one.' }
}

function targetOf(target: string): Upstream['target'] {
  const url = URL.canParse(target) ? new URL(target) : undefined
  if (
    url === undefined ||
    !['http:', 'https:'].includes(url.protocol) ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== ''
  ) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `target is ${JSON.stringify(target)}: use an http or https URL without a query, such as https://api.openai.com`,
    )
  }
  const { protocol, port, pathname } = url
  const hostname = url.hostname.replace(/^\[|\]$/g, '')
  return {
    protocol,
    hostname,
    host: hostname,
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    pathname,
  }
}
