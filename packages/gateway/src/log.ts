import type { Logger } from '@tallygate/flow'
import { pino, type Logger as Log } from 'pino'
import type { Config } from './config-schema.ts'

export type { Log }

/** Lines of JSON on standard output. What could hold a secret is struck out, should anything ever pass it. */
export function createLog(level: Config['log'] = 'info'): Log {
  const secrets = ['authorization', 'headers', 'cookie', 'secret', 'key', 'body', 'url']
  return pino({ level, base: null, redact: [...secrets, ...secrets.map((name) => `*.${name}`)] })
}

/** The log in the shape that the libraries know. */
export function loggerOf(log: Log): Logger {
  return {
    warn: (message, about) => log.warn(about ?? {}, message),
    error: (message, about) => log.error(about ?? {}, message),
    debug: (message, about) => log.debug(about ?? {}, message),
  }
}
