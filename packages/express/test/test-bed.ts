import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { MemoryCounterStore, MemoryLedger, type UsageEntry } from '@tallygate/core'
import { llmProxy, quotaMiddleware, type QuotaMiddlewareOptions } from '@tallygate/express'
import { createQuota, type Quota, type QuotaOptions } from '@tallygate/flow'
import { SettableClock, startScriptedProvider, type ScriptedProvider } from '@tallygate/testkit'
import express5 from 'express'

/** Both versions of Express that are supported. */
export const EXPRESSES = [
  { version: 'Express 5', express: express5 },
  { version: 'Express 4', express: createRequire(import.meta.url)('express4') as typeof express5 },
] as const

export const PEPPER = 'a pepper that is only for tests, and long enough'
/** What carries calls to a provider: whoever asks a proxy about its answers asks both. */
export const FORWARDERS = ['http-proxy-middleware', 'undici'] as const

export const HELLO = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] }
/** 11:30 on a Saturday, UTC. */
export const START_MS = Date.UTC(2026, 10, 21, 11, 30)

export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, where it is JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what is in it is for each test to say
  readonly json: any
}

export interface Asked {
  readonly method?: string
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Serialised unless it is text already. */
  readonly body?: unknown
}

/** A quota with counters, a ledger and a clock to look into, and a provider that is its independent witness. */
export interface TestBed {
  readonly quota: Quota
  readonly store: MemoryCounterStore
  readonly ledger: MemoryLedger
  readonly clock: SettableClock
  readonly provider: ScriptedProvider
  /** What was logged. */
  readonly logged: readonly string[]
  /** Serves an application on a free port. */
  serve(app: RequestListener): Promise<string>
  /** What is in the ledger when all calls have ended, oldest first. */
  entries(): Promise<readonly UsageEntry[]>
  /** Units counted under a plan, by the name of its limit, when all calls have ended. */
  used(limit: string, subject?: string): Promise<number>
}

const opened: (() => Promise<void>)[] = []

export async function openTestBed(options: Partial<QuotaOptions> = {}): Promise<TestBed> {
  const clock = new SettableClock(START_MS)
  const store = new MemoryCounterStore({ clock: clock.now })
  const ledger = new MemoryLedger()
  const provider = await startScriptedProvider()
  const logged: string[] = []
  const log = (message: string, about?: unknown): void => void logged.push(`${message} ${JSON.stringify(about ?? {})}`)
  const quota = createQuota({
    store,
    ledger,
    clock: clock.now,
    pepper: PEPPER,
    logger: { warn: log, error: log },
    ...options,
  })
  const servers: Server[] = []
  opened.push(async () => {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
    await quota.close(1_000)
    await provider.close()
  })
  return {
    quota,
    store,
    ledger,
    clock,
    provider,
    logged,
    async serve(app) {
      const server = createServer(app).listen(0, '127.0.0.1')
      servers.push(server)
      await once(server, 'listening')
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
    async entries() {
      await quota.drain(5_000)
      const all = await ledger.entries(
        { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER },
        { limit: 1_000 },
      )
      return all.toReversed()
    },
    async used(limit, subject) {
      await quota.drain(5_000)
      const [newest] = await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
      const id = subject ?? newest!.subject
      const { statuses } = await quota.limitsOf({
        id,
        tenant: 'default',
        standing: 'registered',
        dimensions: { tenant: 'default', key: id },
      })
      return statuses.find(({ bound }) => bound.limit.name === limit)!.used
    },
  }
}

/** Serves the provider of a bed as most hosts do, and metered. */
export function proxied(
  bed: TestBed,
  options: Omit<QuotaMiddlewareOptions, 'quota'> = {},
  forwarder?: (typeof FORWARDERS)[number],
): Promise<string> {
  const { quota, provider } = bed
  const proxy = llmProxy({ target: provider.url, ...(forwarder !== undefined && { forwarder }) })
  return bed.serve(express5().use(quotaMiddleware({ quota, ...options }), proxy))
}

/** For `afterEach`: closes whatever tests have opened. */
export async function closeTestBeds(): Promise<void> {
  for (const close of opened.splice(0)) await close()
}

/** Asks for a chat completion, unless another path is given. */
export async function ask(
  url: string,
  { method = 'POST', key = 'sk-a-key', headers = {}, body = HELLO }: Asked = {},
): Promise<Answered> {
  const address = url.endsWith('.1') || /:\d+$/.test(url) ? `${url}/v1/chat/completions` : url
  const response = await fetch(address, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
    ...(method === 'GET'
      ? {}
      : { body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Waits for something, at most so long. */
export async function until(holds: () => boolean | Promise<boolean>, withinMs = 3_000): Promise<void> {
  const untilMs = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`it does not come about within ${withinMs} ms: ${String(holds)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
