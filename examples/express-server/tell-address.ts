import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Prints where a server is reached, once it is. */
export function tellAddress(server: Server): void {
  server.once('listening', () => console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`))
}
