import type { Server } from 'node:http'
import { join } from 'node:path'
import { QuotaError, type CounterStore, type PriceBook } from '@tallygate/core'
import { serveSessions } from '@tallygate/express'
import { createQuota, FileOutbox, saySeldom, type Quota } from '@tallygate/flow'
import { pepperFromFile, pepperOf, type Pepper } from '@tallygate/identity'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteCalibrationStore, SqliteLedger } from '@tallygate/store-sql'
import type { NotReady } from './administration-app.ts'
import { Apps } from './apps.ts'
import { callerOptions } from './caller-options.ts'
import { defined } from './config-plans.ts'
import { ConfigReload } from './config-reload.ts'
import type { Config } from './config-schema.ts'
import { closed, serve, urlOf } from './http-server.ts'
import { ledgerFile, type LoadedConfig } from './load-config.ts'
import { createLog, loggerOf, type Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'

/** A gateway that listens. */
export interface Gateway {
  /** Where callers reach it. */
  readonly url: string
  /** Where operators reach it. */
  readonly administrationUrl: string
  readonly quota: Quota
  /**
   * Reads the configuration again, as when its file changes: what callers may do, providers, keys, the log's level. False
   * where it has mistakes, which the log tells; then nothing has changed. Calls under way keep what they began under.
   */
  reload(): boolean
  /**
   * Stops: not ready at once; keeps serving for `delayMs`; then takes no new connections, lets calls end, settles, writes,
   * closes. Calls that take longer than the configured time are cut off, and recorded as such.
   */
  stop(options?: { readonly delayMs?: number }): Promise<void>
}

export interface GatewayOptions {
  /** Whether the configuration is read again whenever its file changes. Default: `never`. */
  readonly watch?: 'always' | 'never'
}

const COUNTED_APART =
  'another process writes to this ledger, and counters are in memory: where it is a gateway, each counts for itself, and ' +
  'callers get every quota once from each; name a Redis as counters, so that they share them'
const DEFAULT_SHUTDOWN = { delay: 5_000, timeout: 60_000 }

/**
 * Starts a gateway from a configuration.
 *
 * @throws QuotaError when a store can't be reached, a file can't be opened or a port is taken; whatever was opened before is closed.
 */
export async function startGateway(loaded: LoadedConfig, { watch = 'never' }: GatewayOptions = {}): Promise<Gateway> {
  const { config } = loaded
  const log = createLog(config.log)
  const metrics = createMetrics()
  const file = ledgerFile(loaded)
  const ledger = await ledgerOf(config, file, log)
  metrics.watch(ledger)
  let store: CounterStore | undefined
  let outbox: FileOutbox | undefined
  let calibrationStore: SqliteCalibrationStore | undefined
  try {
    outbox = await outboxOf(config, join(file, '..', 'outbox'), log)
    calibrationStore = await SqliteCalibrationStore.open({ file })
    store = await counterStoreOf(config, log)
    const pepper = config.pepper === undefined ? pepperFromFile(join(file, '..', 'pepper')) : pepperOf(config.pepper)
    const parts = { ledger, outbox, calibrationStore, pepper, log, metrics }
    const quota = quotaOf(loaded, { ...parts, ...(store === undefined ? {} : { store }) })
    const closeStores = (): Promise<unknown> =>
      Promise.all([ledger.close(), outbox?.close(), calibrationStore?.close(), store?.close(), metrics.close()])
    return await listen(loaded, { quota, pepper, metrics, log, closeStores }, watch === 'always')
  } catch (error) {
    await Promise.all([ledger.close(), outbox?.close(), calibrationStore?.close(), store?.close(), metrics.close()])
    throw error
  }
}

function ledgerOf({ durability, counters = 'memory' }: Config, file: string, log: Log): Promise<SqliteLedger> {
  const warnOfOthers = (others: number): void => log.warn({ ledger: file, others }, COUNTED_APART)
  return SqliteLedger.open({
    file,
    ...defined({ durability }),
    ...(counters === 'memory' ? { onShared: warnOfOthers } : {}),
    onDamage: (path, lines) =>
      log.error({ path, lines }, 'lines of a journal of the ledger can not be read, and are set aside'),
    onOutage: ({ isOver, ...about }) =>
      isOver
        ? log.warn(about, 'the database of the ledger has taken all entries that waited')
        : log.error(about, 'the database of the ledger takes no entries: they wait in its journal'),
  })
}

/** Entries wait beside the ledger's file. */
function outboxOf({ durability }: Config, folder: string, log: Log): Promise<FileOutbox> {
  return FileOutbox.open({
    folder,
    ...defined({ durability }),
    onDamage: (path, lines) => log.error({ path, lines }, 'lines of the outbox can not be read, and are passed over'),
  })
}

async function counterStoreOf(
  { counters = 'memory', decideWithin }: Config,
  log: Log,
): Promise<CounterStore | undefined> {
  if (counters === 'memory') return undefined
  const nodes = typeof counters === 'string' ? [counters] : counters
  const logger = loggerOf(log)
  try {
    return await RedisCounterStore.connect({
      ...(typeof counters === 'string' ? { url: counters } : { nodes: counters }),
      ...defined({ commandTimeoutMs: decideWithin }),
      // A client that finds no server says so each time it tries, twice a second.
      onError: ({ message: cause }) =>
        saySeldom(logger, { level: 'warn', message: 'Redis has a problem', kind: cause, about: { cause } }),
    })
  } catch (error) {
    const host = nodes.map((node) => new URL(node).host).join(', ')
    const { message } = ((error as Error).cause ?? error) as Error
    throw new QuotaError(
      'ERR_QUOTA_STORE_UNAVAILABLE',
      `counters: no Redis answers at ${host} (${message}): start it, correct the address, or set counters: memory`,
      { cause: error },
    )
  }
}

interface Parts {
  readonly ledger: SqliteLedger
  readonly outbox: FileOutbox
  readonly calibrationStore: SqliteCalibrationStore
  readonly store?: CounterStore
  readonly pepper: Pepper
  readonly log: Log
  readonly metrics: Metrics
}

function quotaOf({ config, prices }: LoadedConfig, parts: Parts): Quota {
  const { ledger, outbox, calibrationStore, store, pepper, log, metrics } = parts
  const { exhaustedStatus, rateLimitHeaders, nodes, spareRetries, counters, estimates } = config
  const { sampleCounts, outputEstimate } = config
  const { durableWithin: durableWithinMs, onLateEntry, decideWithin: decideWithinMs } = config
  const topology = Array.isArray(counters) ? ('cluster' as const) : undefined
  return createQuota({
    ...callerOptions(config, pepper, prices),
    ...(estimates === undefined ? {} : { estimates: defined(estimates) }),
    ledger,
    outbox,
    calibrationStore,
    ...defined({ durableWithinMs, onLateEntry, decideWithinMs, topology, sampleCounts, outputEstimate }),
    pepper,
    logger: loggerOf(log),
    telemetry: { meterProvider: metrics.meterProvider },
    denials: defined({ exhaustedStatus }),
    ...defined({ store, nodes, rateLimitStyles: rateLimitHeaders, spareRetriesMs: spareRetries }),
  })
}

interface Running {
  readonly quota: Quota
  readonly pepper: Pepper
  readonly metrics: Metrics
  readonly log: Log
  readonly closeStores: () => Promise<unknown>
}

async function listen(loaded: LoadedConfig, running: Running, watches: boolean): Promise<Gateway> {
  const { config, source } = loaded
  const { quota, pepper, metrics, log, closeStores } = running
  let isStopping = false
  const notReadyBecause = async (): Promise<NotReady | undefined> => (isStopping ? 'stopping' : quota.notReadyBecause())
  const apps = new Apps(config, { quota, metrics, log, notReadyBecause })
  const { publicServer, administrationServer } = await servers(config, apps)
  const apply = (next: Config, prices: PriceBook | undefined): void => {
    const replace = apps.prepare(next)
    quota.swap(callerOptions(next, pepper, prices))
    replace()
    log.level = next.log ?? 'info'
  }
  const reload = source === undefined ? undefined : new ConfigReload({ ...source, loaded, log, apply })
  if (watches) reload?.watch()
  const shutdown = (): NonNullable<Config['shutdown']> => (reload?.config ?? config).shutdown ?? {}
  const stop = async (delayMs: number): Promise<void> => {
    isStopping = true
    reload?.close()
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    const withinMs = shutdown().timeout ?? DEFAULT_SHUTDOWN.timeout
    quota.closeSessions(withinMs / 2)
    await closed(publicServer, withinMs)
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
    reload: () => reload?.reload() ?? false,
    stop: ({ delayMs = shutdown().delay ?? DEFAULT_SHUTDOWN.delay } = {}) => (stopped ??= stop(delayMs)),
  }
}

async function servers(
  { listen: callers = {}, administration = {} }: Config,
  apps: Apps,
): Promise<{ publicServer: Server; administrationServer: Server }> {
  const publicServer = await serve(apps.forCallers, callers.host ?? '127.0.0.1', callers.port ?? 8080)
  serveSessions(publicServer, apps.forCallers)
  const administrationServer = await serve(
    apps.forOperators,
    administration.host ?? '127.0.0.1',
    administration.port ?? 8081,
  ).catch(async (error: unknown) => {
    await closed(publicServer, 0)
    throw error
  })
  return { publicServer, administrationServer }
}
