import { ServerResponse, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { isSessionRequest, isWebSocketUpgrade } from '@tallygate/flow'

/** What comes with a request for an upgrade. */
export interface Upgrade {
  readonly socket: Socket
  /** What the caller has sent behind the request. */
  readonly head: Buffer
}

/** Servers of Node from 22.21 and 24.9 ask it which requests for an upgrade are one; older ones don't know the member. */
interface AskingServer {
  shouldUpgradeCallback?: (req: IncomingMessage) => boolean
}

const UPGRADE = Symbol('tallygate upgrade')
type Upgrading = IncomingMessage & { [UPGRADE]?: Upgrade }

/** How long a caller has for closing its side after a refusal. */
const MOST_CLOSING_MS = 1_000

/**
 * Lets requests for a WebSocket go through the application of a server, so that the same middlewares identify, limit and
 * meter sessions: `llmProxy()` forwards those that passed. Refusals are answered before the upgrade. Where others listen
 * for upgrades too, those of no realtime API are left to them.
 */
export function serveSessions(server: Server | HttpsServer, app: RequestListener): void {
  const othersListen = (): boolean => server.listenerCount('upgrade') > 1
  // Clients that offer HTTP/2 ask for an upgrade as well, and are to be answered as if they had not.
  ;(server as AskingServer).shouldUpgradeCallback = ({ method, headers }) =>
    isWebSocketUpgrade(method, headers) || othersListen()
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    const { method = '', url = '', headers } = req
    // Told twice, it is done once.
    if (upgradeOf(req) !== undefined) return
    if (othersListen() && !isSessionRequest({ method, url, headers })) return
    socket.on('error', () => {})
    const isUpgrade = isWebSocketUpgrade(method, headers)
    if (!isUpgrade && hasBody(req)) return void socket.end(REFUSED)
    if (isUpgrade) (req as Upgrading)[UPGRADE] = { socket, head }
    const res = new ServerResponse(req)
    res.shouldKeepAlive = false
    res.assignSocket(socket)
    res.once('finish', () => closeSoon(res, socket))
    app(req, res)
  })
}

/** What came with a request that asks for a WebSocket; `undefined` for any other. */
export function upgradeOf(req: IncomingMessage): Upgrade | undefined {
  return (req as Upgrading)[UPGRADE]
}

/** An upgrade that nobody can serve, and whose body nobody has read. */
const REFUSED = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function closeSoon(res: ServerResponse, socket: Socket): void {
  res.detachSocket(socket)
  socket.end()
  socket.resume()
  setTimeout(() => socket.destroy(), MOST_CLOSING_MS).unref()
}
