import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join, resolve } from 'node:path'
import { MemoryKeyRegistry, QuotaError, type CounterStore } from '@tallygate/core'
import { createQuota, FileOutbox, type Quota } from '@tallygate/flow'
import { fingerprint, pepperFromFile, pepperOf, type Pepper } from '@tallygate/identity'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteLedger } from '@tallygate/store-sql'
import type { Express } from 'express'
import { administrationApp } from './administration-app.ts'
import { defined, planOf } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { LoadedConfig } from './load-config.ts'
import { createLog, loggerOf, type Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { publicApp } from './public-app.ts'

/** A gateway that listens. */
export interface Gateway {
  /** Where callers reach it. */
  readonly url: string
  /** Where operators reach it. */
  readonly administrationUrl: string
  readonly quota: Quota
  /**
   * Stops: not ready at once; keeps serving for `delayMs`; then takes no new connections, lets calls end, settles, writes,
   * closes. Calls that take longer than the configured time are cut off, and recorded as such.
   */
  stop(options?: { readonly delayMs?: number }): Promise<void>
}

const DEFAULT_SHUTDOWN = { delay: 5_000, timeout: 60_000 }

/**
 * Starts a gateway from a configuration.
 *
 * @throws QuotaError when a store can't be reached, a file can't be opened or a port is taken; whatever was opened before is closed.
 */
export async function startGateway({ config, folder }: LoadedConfig): Promise<Gateway> {
  const log = createLog(config.log)
  const metrics = createMetrics()
  const file = resolve(folder, config.ledger ?? '.tallygate/usage.db')
  const ledger = await SqliteLedger.open({ file, ...defined({ durability: config.durability }) })
  let store: CounterStore | undefined
  let outbox: FileOutbox | undefined
  try {
    outbox = await outboxOf(config, join(file, '..', 'outbox'), log)
    store = await counterStoreOf(config, log)
    const pepper = config.pepper === undefined ? pepperFromFile(join(file, '..', 'pepper')) : pepperOf(config.pepper)
    const quota = quotaOf(config, { ledger, outbox, pepper, log, metrics, ...(store === undefined ? {} : { store }) })
    return await listen(config, {
      quota,
      metrics,
      log,
      closeStores: () => Promise.all([ledger.close(), outbox?.close(), store?.close(), metrics.close()]),
    })
  } catch (error) {
    await Promise.all([ledger.close(), outbox?.close(), store?.close(), metrics.close()])
    throw error
  }
}

/** Entries wait beside the ledger's file. */
function outboxOf({ durability }: Config, folder: string, log: Log): Promise<FileOutbox> {
  return FileOutbox.open({
    folder,
    ...defined({ durability }),
    onDamage: (path, lines) => log.error({ path, lines }, 'lines of the outbox can not be read, and are passed over'),
  })
}

async function counterStoreOf({ counters = 'memory' }: Config, log: Log): Promise<CounterStore | undefined> {
  if (counters === 'memory') return undefined
  try {
    return await RedisCounterStore.connect({
      url: counters,
      onError: ({ message }) => log.warn({ cause: message }, 'the connection to Redis was lost'),
    })
  } catch (error) {
    const { host } = new URL(counters)
    throw new QuotaError(
      'ERR_QUOTA_STORE_UNAVAILABLE',
      `counters: no Redis answers at ${host} (${(error as Error).message}): start it, correct the address, or set counters: memory`,
      { cause: error },
    )
  }
}

interface Parts {
  readonly ledger: SqliteLedger
  readonly outbox: FileOutbox
  readonly store?: CounterStore
  readonly pepper: Pepper
  readonly log: Log
  readonly metrics: Metrics
}

function quotaOf(config: Config, { ledger, outbox, store, pepper, log, metrics }: Parts): Quota {
  const { plans = {}, keys = [], defaultPlans, combine, unregistered, exhaustedStatus, rateLimitHeaders } = config
  const records = keys.map(({ secret, expires, ...record }) => ({
    ...defined(record),
    fingerprint: fingerprint(pepper, secret),
    ...(expires === undefined ? {} : { expiresAtMs: Date.parse(expires) }),
  }))
  const { durableWithin: durableWithinMs, onLateEntry } = config
  return createQuota({
    ledger,
    outbox,
    ...defined({ durableWithinMs, onLateEntry }),
    pepper,
    plans: Object.entries(plans).map(([name, plan]) => planOf(name, plan)),
    logger: loggerOf(log),
    telemetry: { meterProvider: metrics.meterProvider },
    denials: defined({ exhaustedStatus }),
    ...defined({ store, defaultPlans, combine, unregistered, rateLimitStyles: rateLimitHeaders }),
    ...(records.length === 0 ? {} : { registry: new MemoryKeyRegistry(records) }),
  })
}

interface Running {
  readonly quota: Quota
  readonly metrics: Metrics
  readonly log: Log
  readonly closeStores: () => Promise<unknown>
}

async function listen(config: Config, { quota, metrics, log, closeStores }: Running): Promise<Gateway> {
  const { listen: callers = {}, administration = {}, shutdown = {} } = config
  let isStopping = false
  const isReady = async (): Promise<boolean> => !isStopping && (await quota.isReady())
  const publicServer = await serve(publicApp(config, quota, log), callers.host ?? '127.0.0.1', callers.port ?? 8080)
  const administrationServer = await serve(
    administrationApp(config, quota, metrics, log, isReady),
    administration.host ?? '127.0.0.1',
    administration.port ?? 8081,
  ).catch(async (error: unknown) => {
    await closed(publicServer, 0)
    throw error
  })
  const stop = async (delayMs: number): Promise<void> => {
    isStopping = true
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    await closed(publicServer, shutdown.timeout ?? DEFAULT_SHUTDOWN.timeout)
    await quota.close()
    if (quota.pending > 0) log.error({ pending: quota.pending }, 'calls are lost that no ledger or counter has taken')
    await closed(administrationServer, 0)
    await closeStores()
  }
  let stopped: Promise<void> | undefined
  return {
    url: urlOf(publicServer),
    administrationUrl: urlOf(administrationServer),
    quota,
    stop: ({ delayMs = shutdown.delay ?? DEFAULT_SHUTDOWN.delay } = {}) => (stopped ??= stop(delayMs)),
  }
}

async function serve(app: Express, host: string, port: number): Promise<Server> {
  const server = createServer(
    { headersTimeout: 15_000, requestTimeout: 60_000, connectionsCheckingInterval: 5_000 },
    app,
  )
  rememberConnections(server)
  server.listen(port, host)
  await once(server, 'listening').catch((cause: Error) => {
    throw new QuotaError('ERR_QUOTA_CONFIG', `can't listen on ${host}, port ${port}: ${cause.message}`, { cause })
  })
  return server
}

/** Closes a server when its calls have ended, or after a time. */
async function closed(server: Server, withinMs: number): Promise<void> {
  const end = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), withinMs)
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

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
