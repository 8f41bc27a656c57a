import type { ClientRequest, IncomingMessage } from 'node:http'

/** A request, how far it and its answer were when they were last looked at, and when that was. */
interface Watched {
  readonly proxyReq: WatchedRequest
  readonly req: IncomingMessage
  bytes: number
  sinceMs: number
}

type WatchedRequest = ClientRequest & { [WATCH]?: SilenceWatch; [PLACE]?: number }

const WATCH = Symbol('silence watch')
const PLACE = Symbol('place in the silence watch')

/** How often it looks, as a share of the time allowed: a silence is noticed at most so much late. */
const LOOKS = 8

/**
 * Ends requests whose provider says nothing for too long. One timer looks after all of them, as a timer for each costs
 * more than it is worth where the time allowed is minutes.
 */
export class SilenceWatch {
  readonly #mostMs: number
  /** Requests that were ended. */
  readonly #silent = new WeakSet<IncomingMessage>()
  readonly #watched: Watched[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(mostMs: number) {
    this.#mostMs = mostMs
  }

  /** Whether the request to a provider for this one was ended for its silence. */
  wasSilent(req: IncomingMessage): boolean {
    return this.#silent.has(req)
  }

  /** Watches the request to a provider until it is closed. */
  watch(proxyReq: WatchedRequest, req: IncomingMessage): void {
    const watched = { proxyReq, req, bytes: bytesOf(proxyReq), sinceMs: performance.now() }
    proxyReq[WATCH] = this
    proxyReq[PLACE] = this.#watched.push(watched) - 1
    proxyReq.on('close', forget)
    this.#timer ??= setInterval(() => this.#look(), Math.ceil(this.#mostMs / LOOKS)).unref()
  }

  forget(proxyReq: WatchedRequest): void {
    const place = proxyReq[PLACE] ?? -1
    if (place === -1) return
    const last = this.#watched.pop()!
    if (last.proxyReq !== proxyReq) {
      this.#watched[place] = last
      last.proxyReq[PLACE] = place
    }
    proxyReq[PLACE] = -1
  }

  #look(): void {
    const nowMs = performance.now()
    for (const watched of this.#watched.slice()) {
      const bytes = bytesOf(watched.proxyReq)
      if (bytes !== watched.bytes) {
        watched.bytes = bytes
        watched.sinceMs = nowMs
      } else if (nowMs - watched.sinceMs >= this.#mostMs) {
        this.#silent.add(watched.req)
        watched.proxyReq.destroy()
      }
    }
    if (this.#watched.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function forget(this: WatchedRequest): void {
  this[WATCH]?.forget(this)
}

function bytesOf({ socket }: ClientRequest): number {
  return socket === null ? 0 : socket.bytesRead + socket.bytesWritten
}
