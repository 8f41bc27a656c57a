import type { Logger } from './logger.ts'

/** What is said of one of many things that are alike. */
export interface Repeated {
  readonly level: 'warn' | 'error'
  readonly message: string
  /** Those of one kind share their lines: of few values, none of them made up by callers. */
  readonly kind: string
  readonly about: Readonly<Record<string, unknown>>
}

/** What came since the last line of its kind. */
interface Unsaid {
  latest: Repeated
  count: number
  readonly timer: NodeJS.Timeout
}

const LEAST_BETWEEN_LINES_MS = 60_000
/** Kinds of a logger that are told apart at once; what is of others shares one. */
const MOST_KINDS = 100
const OTHERS = ''

const unsaidBy = new WeakMap<Logger, Map<string, Unsaid>>()

/**
 * Says what can happen to each of a thousand calls a second: the first of its kind at once, then the latest once a minute
 * as long as there are any, with `leftOut`, the number of those in between. At the level `debug` each has its line. What
 * was left out when the process ends is not told.
 */
export function saySeldom(logger: Logger, said: Repeated): void {
  let kinds = unsaidBy.get(logger)
  if (kinds === undefined) unsaidBy.set(logger, (kinds = new Map()))
  const own = `${said.message} ${said.kind}`
  const kind = kinds.has(own) || kinds.size < MOST_KINDS ? own : OTHERS
  const unsaid = kinds.get(kind)
  if (unsaid !== undefined) {
    unsaid.latest = said
    unsaid.count += 1
    logger.debug?.(said.message, said.about)
    return
  }
  logger[said.level](said.message, said.about)
  const timer = setInterval(sayLatest, LEAST_BETWEEN_LINES_MS, logger, kinds, kind).unref()
  kinds.set(kind, { latest: said, count: 0, timer })
}

function sayLatest(logger: Logger, kinds: Map<string, Unsaid>, kind: string): void {
  const unsaid = kinds.get(kind)!
  const { latest, count, timer } = unsaid
  if (count === 0) {
    clearInterval(timer)
    kinds.delete(kind)
    return
  }
  unsaid.count = 0
  logger[latest.level](latest.message, count === 1 ? latest.about : { ...latest.about, leftOut: count - 1 })
}
