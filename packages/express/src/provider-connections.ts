import { Agent as HttpAgent, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { Socket } from 'node:net'

/** A connection to the provider, and when it is to be closed if no call has used it until then. */
type Connection = Socket & { [MOST_IDLE]?: number; [CLOSE_AT]?: number }

/** Beside other parameters, in any order (RFC 9110 section 5.6.6). */
const KEPT_FOR = /\btimeout\s*=\s*"?(\d+)/i
const MOST_IDLE = Symbol('most idle time')
const CLOSE_AT = Symbol('closed at')

/**
 * A connection that was not used for so long is closed by us, before its provider does just when the next call is on its
 * way. Where a provider announces a shorter time, a second less than that counts.
 */
export const MOST_IDLE_MS = 30_000
export const MARGIN_MS = 1_000
/** How often idle connections are looked at; they are closed at most so much early. */
const LOOK_EVERY_MS = 250
/** Connections that are kept for calls to come. */
const MOST_FREE = 64
/** All of an agent's are to one provider: there is nothing to tell them apart by. */
const NAME = 'provider'

/**
 * Connections to one provider, used again by the call that comes next. One timer closes those that are idle: the agent's
 * own would be set and cleared by each call.
 */
export class ProviderConnections {
  readonly agent: HttpAgent
  #timer: NodeJS.Timeout | undefined

  /** @param maxSockets More calls than that wait for a connection. */
  constructor(isSecure: boolean, maxSockets: number) {
    const options = { keepAlive: true, maxSockets, maxFreeSockets: MOST_FREE }
    const agent = isSecure ? new HttpsAgent(options) : new HttpAgent(options)
    // It tells whether it keeps the connection, which its type does not say.
    const isKept = agent.keepSocketAlive.bind(agent) as unknown as (socket: Socket) => boolean
    Object.assign(agent, {
      getName: () => NAME,
      keepSocketAlive: (socket: Connection) => isKept(socket) && this.#keep(socket),
    })
    this.agent = agent
  }

  /** Takes note of how long the provider keeps the connection of an answer. */
  announced({ headers, socket }: IncomingMessage): void {
    const announced = KEPT_FOR.exec(String(headers['keep-alive']))?.[1]
    const ms = announced === undefined ? MOST_IDLE_MS : Number(announced) * 1_000 - MARGIN_MS
    ;(socket as Connection)[MOST_IDLE] = Math.min(MOST_IDLE_MS, ms)
  }

  /** For a proxy that gets no more calls: keeps no connection from now on. Calls under way go on to their end. */
  close(): void {
    this.agent.maxFreeSockets = 0
    for (const socket of this.#free) socket.destroy()
  }

  get #free(): readonly Connection[] {
    return Object.values(this.agent.freeSockets).flatMap((sockets) => sockets ?? [])
  }

  #keep(socket: Connection): boolean {
    const mostIdleMs = (socket[MOST_IDLE] ?? MOST_IDLE_MS) - LOOK_EVERY_MS
    socket[CLOSE_AT] = performance.now() + mostIdleMs
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS).unref()
    return mostIdleMs > 0
  }

  #look(): void {
    const free = this.#free
    const nowMs = performance.now()
    for (const socket of free) if (nowMs >= (socket[CLOSE_AT] ?? 0)) socket.destroy()
    if (free.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
