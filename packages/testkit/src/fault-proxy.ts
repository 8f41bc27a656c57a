import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/**
 * What a network does to connections. `slow`: answers take longer. `black-hole`: connections are accepted, and nothing
 * arrives, either way, until {@link FaultProxy.restore}. `half-open`: what goes one way is lost; the other way works.
 */
type Fault =
  | { readonly kind: 'none' | 'black-hole' }
  | { readonly kind: 'slow'; readonly latencyMs: number }
  | { readonly kind: 'half-open'; readonly lost: 'requests' | 'answers' }

/** A TCP relay that fails as it is told, while it runs. */
export interface FaultProxy {
  readonly port: number
  /** Connections that are open just now. */
  readonly connections: number
  /** Nobody listens any more, and connections are reset. */
  down(): Promise<void>
  /** Answers arrive so much later. */
  slow(latencyMs: number): void
  blackHole(): void
  /** Half of a connection is dead. Those that have lost something so are reset by {@link restore}. */
  halfOpen(lost: 'requests' | 'answers'): void
  /** Connections that are open say nothing any more, and are not closed, also not by {@link restore}. New ones work. */
  freeze(): void
  /** Resets all connections, once. New ones work as before. */
  reset(): void
  /** All works again; what a black hole or slowness has kept back arrives. */
  restore(): Promise<void>
  close(): Promise<void>
}

/** Starts a relay, on a free port of the loopback interface. */
export async function startFaultProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<FaultProxy> {
  const relay = new Relay(targetPort, targetHost)
  await relay.listen(0)
  return relay
}

class Relay implements FaultProxy {
  readonly #targetPort: number
  readonly #targetHost: string
  readonly #links = new Set<Link>()
  #server: Server | undefined
  #port = 0
  #fault: Fault = { kind: 'none' }

  constructor(targetPort: number, targetHost: string) {
    this.#targetPort = targetPort
    this.#targetHost = targetHost
  }

  get port(): number {
    return this.#port
  }

  get connections(): number {
    return this.#links.size
  }

  async listen(port: number): Promise<void> {
    const server = createServer((client) => this.#accept(client)).listen(port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  async down(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.reset()
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  slow(latencyMs: number): void {
    this.#become({ kind: 'slow', latencyMs })
  }

  blackHole(): void {
    this.#become({ kind: 'black-hole' })
  }

  halfOpen(lost: 'requests' | 'answers'): void {
    this.#become({ kind: 'half-open', lost })
  }

  freeze(): void {
    for (const link of this.#links) link.freeze()
  }

  reset(): void {
    for (const link of this.#links) link.reset()
  }

  async restore(): Promise<void> {
    if (this.#server === undefined) await this.listen(this.#port)
    this.#become({ kind: 'none' })
    for (const link of this.#links) if (link.hasLost) link.reset()
  }

  async close(): Promise<void> {
    await this.down()
  }

  #become(fault: Fault): void {
    this.#fault = fault
    for (const link of this.#links) link.become(fault)
  }

  #accept(client: Socket): void {
    const link = new Link(client, connect(this.#targetPort, this.#targetHost), this.#fault)
    this.#links.add(link)
    client.once('close', () => this.#links.delete(link))
  }
}

/** Bytes on their way, and when they arrive. */
interface OnTheWay {
  readonly bytes: Buffer
  readonly sentAtMs: number
}

/** A client's connection and the one made for it. */
class Link {
  readonly #client: Socket
  readonly #target: Socket
  readonly #requests: OnTheWay[] = []
  readonly #answers: OnTheWay[] = []
  #fault: Fault
  #isFrozen = false
  hasLost = false

  constructor(client: Socket, target: Socket, fault: Fault) {
    this.#client = client
    this.#target = target
    this.#fault = fault
    client.setNoDelay(true).on('data', (bytes: Buffer) => this.#take(bytes, 'requests'))
    target.setNoDelay(true).on('data', (bytes: Buffer) => this.#take(bytes, 'answers'))
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
    }
  }

  freeze(): void {
    this.become({ kind: 'black-hole' })
    this.#isFrozen = true
  }

  become(fault: Fault): void {
    if (this.#isFrozen) return
    this.#fault = fault
    this.#deliver()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#target.destroy()
  }

  #take(bytes: Buffer, way: 'requests' | 'answers'): void {
    const fault = this.#fault
    if (fault.kind === 'half-open' && fault.lost === way) {
      this.hasLost = true
      return
    }
    const onTheWay = way === 'requests' ? this.#requests : this.#answers
    onTheWay.push({ bytes, sentAtMs: performance.now() })
    this.#deliver()
  }

  /** Hands on, in order, what has been on its way for long enough. */
  #deliver(): void {
    if (this.#fault.kind === 'black-hole') return
    for (const { bytes } of this.#requests.splice(0)) this.#target.write(bytes)
    const latencyMs = this.#fault.kind === 'slow' ? this.#fault.latencyMs : 0
    for (;;) {
      const [first] = this.#answers
      if (first === undefined) return
      const waitMs = first.sentAtMs + latencyMs - performance.now()
      if (waitMs > 0) return void setTimeout(() => this.#deliver(), Math.ceil(waitMs))
      this.#client.write(first.bytes)
      this.#answers.shift()
    }
  }
}
