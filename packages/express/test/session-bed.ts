import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Limit, UsageEntry } from '@tallygate/core'
import { llmProxy, quotaMiddleware, serveSessions, type LlmProxyOptions } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { frameOf } from '@tallygate/testkit'
import type express5 from 'express'
import { closeTestBeds, EXPRESSES, openTestBed, until, type TestBed } from './test-bed.ts'

export const PER_DAY = { kind: 'fixed', every: 'day' } as const
export const REQUESTS = { name: 'calls', unit: 'requests', quota: 10, window: PER_DAY } as const
export const TOKENS = { name: 'tokens', unit: 'tokens', quota: 10_000, window: PER_DAY } as const
export const AT_ONCE = { name: 'at-once', unit: 'requests', quota: 1, window: { kind: 'concurrent' } } as const
export const REALTIME = '/openai/v1/realtime?model=gpt-realtime'
export const LIVE = '/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent'

/** A server whose application forwards sessions to a scripted provider. */
export interface SessionBed extends TestBed {
  readonly port: number
  readonly server: Server
  /** What is in the ledger now, oldest first; without closing any session. */
  written(): Promise<readonly UsageEntry[]>
  /** What is counted of a limit now, for the caller of the newest entry. */
  counted(limit: string): Promise<number>
}

const servers: Server[] = []

export async function openSessionBed(
  limits: readonly Limit[] = [],
  {
    quota: options = {},
    proxy = {},
    express = EXPRESSES[0].express,
  }: { quota?: Partial<QuotaOptions>; proxy?: Partial<LlmProxyOptions>; express?: typeof express5 } = {},
): Promise<SessionBed> {
  const plans = limits.length === 0 ? {} : { plans: [{ name: 'plan', limits }], defaultPlans: ['plan'] }
  const bed = await openTestBed({ ...plans, ...options })
  const app = express()
  for (const path of ['/openai', '/gemini'])
    app.use(path, quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url, ...proxy }))
  const server = createServer(app)
  serveSessions(server, app)
  servers.push(server.listen(0, '127.0.0.1'))
  await once(server, 'listening')
  const filter = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const written = async (): Promise<readonly UsageEntry[]> =>
    (await bed.ledger.entries(filter, { limit: 1_000 })).toReversed()
  return {
    ...bed,
    port: (server.address() as AddressInfo).port,
    server,
    written,
    async counted(limit) {
      const { subject } = (await written()).at(-1)!
      const { statuses } = await bed.quota.limitsOf(await bed.quota.subjectOf(subject))
      return statuses.find(({ bound }) => bound.limit.name === limit)!.used
    },
  }
}

/** For `afterEach`: closes whatever tests have opened. */
export async function closeSessionBeds(): Promise<void> {
  for (const client of clients.splice(0)) client.socket.destroy()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  await closeTestBeds()
}

/** What a client got: an HTTP answer, or that it was let through, and messages. */
export class RawClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  #head: string | undefined
  isEnded = false

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.socket.on('data', (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes])
      const end = this.#bytes.indexOf('\r\n\r\n')
      if (this.#head !== undefined || end === -1) return
      this.#head = this.#bytes.toString('latin1', 0, end)
      this.#bytes = this.#bytes.subarray(end + 4)
    })
    this.socket.on('end', () => {
      this.isEnded = true
    })
    this.socket.on('close', () => {
      this.isEnded = true
    })
  }

  get status(): number | undefined {
    return this.#head === undefined ? undefined : Number(this.#head.slice(9, 12))
  }

  /** All that came behind the head. */
  get bytes(): Buffer {
    return this.#bytes
  }

  header(name: string): string | undefined {
    const line = this.#head?.split('\r\n').find((each) => each.toLowerCase().startsWith(`${name}: `))
    return line?.slice(name.length + 2)
  }

  /** Frames of the provider's or ours: opcode and payload. */
  get frames(): readonly { readonly opcode: number; readonly payload: Buffer }[] {
    const frames: { opcode: number; payload: Buffer }[] = []
    let rest = this.#bytes
    while (rest.length >= 2) {
      const short = rest[1]!
      const at = short === 126 ? 4 : short === 127 ? 10 : 2
      const length = short === 126 ? rest.readUInt16BE(2) : short === 127 ? rest.readUIntBE(4, 6) : short
      if (rest.length < at + length) break
      frames.push({ opcode: rest[0]! & 0x0f, payload: rest.subarray(at, at + length) })
      rest = rest.subarray(at + length)
    }
    return frames
  }

  get messages(): readonly Readonly<Record<string, unknown>>[] {
    return this.frames
      .filter(({ opcode }) => opcode === 0x1 || opcode === 0x2)
      .map(({ payload }) => JSON.parse(payload.toString()) as Record<string, unknown>)
  }

  get closeCode(): number | undefined {
    const close = this.frames.find(({ opcode }) => opcode === 0x8)
    return close?.payload.readUInt16BE(0)
  }

  /** Says something, masked, as clients must. */
  say(message: unknown, opcode = 0x1): void {
    const payload = Buffer.isBuffer(message) ? message : Buffer.from(JSON.stringify(message))
    this.socket.write(masked(frameOf(opcode, payload)))
  }

  respond(): void {
    this.say({ type: 'response.create' })
  }
}

/** A frame of a server's, made one of a client's. */
export function masked(frame: Buffer): Buffer {
  const short = frame[1]!
  const at = short === 126 ? 4 : short === 127 ? 10 : 2
  const head = Buffer.from(frame.subarray(0, at))
  head[1]! |= 0x80
  const mask = Buffer.of(1, 2, 3, 4)
  const payload = Buffer.from(frame.subarray(at))
  for (let index = 0; index < payload.length; index += 1) payload[index]! ^= mask[index & 3]!
  return Buffer.concat([head, mask, payload])
}

const clients: RawClient[] = []

/** Asks for a session, and waits for an answer. */
export async function openSession(...asked: Parameters<typeof askForSession>): Promise<RawClient> {
  const client = await askForSession(...asked)
  await until(() => client.status !== undefined || client.isEnded)
  return client
}

/** Asks for a session. */
export async function askForSession(
  port: number,
  url = REALTIME,
  headers: Readonly<Record<string, string>> = { authorization: 'Bearer sk-a-key' },
): Promise<RawClient> {
  const client = new RawClient(port)
  clients.push(client)
  await once(client.socket, 'connect')
  const all = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'MDEyMzQ1Njc4OWFiY2RlZg==',
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  client.socket.write(`GET ${url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  return client
}
