import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { QuotaError } from '@tallygate/core'

/** @throws QuotaError `ERR_QUOTA_CONFIG` where nothing can listen. */
export async function serve(listener: RequestListener, host: string, port: number): Promise<Server> {
  const server = createServer(
    { headersTimeout: 15_000, requestTimeout: 60_000, connectionsCheckingInterval: 5_000 },
    listener,
  )
  rememberConnections(server)
  server.listen(port, host)
  await once(server, 'listening').catch((cause: Error) => {
    throw new QuotaError('ERR_QUOTA_CONFIG', `can't listen on ${host}, port ${port}: ${cause.message}`, { cause })
  })
  return server
}

/** Closes a server when its calls have ended, or after a time. */
export async function closed(server: Server, withinMs: number): Promise<void> {
  const end = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const timer = setTimeout(() => {
    server.closeAllConnections()
    // Those that became WebSockets are no HTTP connections any more.
    for (const socket of connections.get(server) ?? []) socket.destroy()
  }, withinMs)
  // A connection becomes idle only when its last answer has ended, and one that never asked for anything is not idle.
  const idle = setInterval(() => {
    server.closeIdleConnections()
    for (const socket of connections.get(server) ?? []) if (socket.bytesRead === 0) socket.destroy()
  }, 100)
  await end
  clearTimeout(timer)
  clearInterval(idle)
}

/** Open connections by server: browsers open some ahead, which would hold up its end. */
const connections = new WeakMap<Server, Set<Socket>>()

function rememberConnections(server: Server): void {
  const open = new Set<Socket>()
  connections.set(server, open)
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
}

export function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
