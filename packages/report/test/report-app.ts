import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MemoryKeyRegistry, MemoryLedger, type Ledger, type UsageEntry } from '@tallygate/core'
import { quotaMiddleware } from '@tallygate/express'
import { createQuota, type Quota, type QuotaOptions } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'
import { usageReportRouter, type UsageReportRouterOptions } from '@tallygate/report'
import express from 'express'

/** Noon of a day in January 2026: what the reports take for now. */
export const NOW = Date.UTC(2026, 0, 15, 12)
/** Keys by the id that they are registered under. */
export const SECRETS = { alice: 'alice-secret-0001', bob: 'bob-secret-000002', carol: 'carol-secret-0003' } as const

const pepper = pepperOf('a pepper that only these tests know')
const registry = new MemoryKeyRegistry([
  { id: 'alice', fingerprint: fingerprint(pepper, SECRETS.alice) },
  { id: 'bob', fingerprint: fingerprint(pepper, SECRETS.bob) },
  { id: 'carol', fingerprint: fingerprint(pepper, SECRETS.carol), tenant: 'acme' },
])

/** An answer, with its body as text and, where it is one, as a document. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Document
}
/** What reports and problems have in common for a test. */
export interface Document {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly total: Readonly<Record<string, unknown>>
  readonly notShown: readonly unknown[]
  readonly next: string | null
  readonly detail: string
  readonly status: number
  readonly from: string
  readonly to: string
  readonly subject: string
}

export interface ReportApp {
  readonly url: string
  readonly quota: Quota
  readonly ledger: Ledger
  /** Asks for a path below the origin, as one of the keys or with headers. */
  get(path: string, as?: keyof typeof SECRETS | Readonly<Record<string, string>>): Promise<Answer>
  /** Makes a call that is metered: 10 tokens in, 5 out. */
  call(as: keyof typeof SECRETS, model?: string): Promise<number>
  close(): Promise<void>
}

/** An Express server with the report under `/usage`, a handler that is metered under `/calls`, and a ledger to fill. */
export async function startReportApp(
  { authorize }: Pick<UsageReportRouterOptions, 'authorize'> = {},
  { ledger = new MemoryLedger(), ...options }: QuotaOptions = {},
): Promise<ReportApp> {
  const quota = createQuota({ pepper, registry, ledger, clock: () => NOW, ...options })
  const app = express()
  app.use('/usage', usageReportRouter({ quota, clock: () => NOW, ...(authorize === undefined ? {} : { authorize }) }))
  app.post('/v1/chat/completions', quotaMiddleware({ quota }), (req, res) => {
    req.quota?.record({ inputTokens: 10, outputTokens: 5 })
    res.json({})
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const bearer = (key: keyof typeof SECRETS): Record<string, string> => ({ authorization: `Bearer ${SECRETS[key]}` })
  return {
    url,
    quota,
    ledger,
    async get(path, as = {}) {
      const response = await fetch(url + path, { headers: typeof as === 'string' ? bearer(as) : as })
      const text = await response.text()
      const isJson = response.headers.get('content-type')?.includes('json') === true
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: (isJson ? JSON.parse(text) : {}) as Document,
      }
    },
    async call(as, model = 'gpt-4o') {
      const body = JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] })
      const headers = { ...bearer(as), 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })
      await response.arrayBuffer()
      return response.status
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await quota.close()
      await ledger.close()
    },
  }
}

let entries = 0

/** An entry of a call by alice at {@link NOW}, with what a test says otherwise. */
export function entry(change: Partial<UsageEntry> = {}): UsageEntry {
  entries += 1
  const atMs = change.atMs ?? NOW
  return {
    kind: 'usage',
    id: `call-${entries}`,
    callId: `call-${entries}`,
    tenant: 'default',
    subject: 'alice',
    dimensions: { tenant: 'default', key: 'alice' },
    plans: [],
    provider: 'openai',
    operation: 'chat',
    model: 'gpt-4o',
    status: 200,
    outcome: 'complete',
    streamed: false,
    atMs,
    admittedAtMs: atMs,
    durationMs: 100,
    usage: { basis: 'reported', inputTokens: 10, outputTokens: 5 },
    charges: [],
    overage: false,
    ...change,
  }
}
