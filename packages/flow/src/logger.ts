/** Where warnings and errors go. Messages never hold a secret, a prompt or an answer. */
export interface Logger {
  warn(message: string, about?: Readonly<Record<string, unknown>>): void
  error(message: string, about?: Readonly<Record<string, unknown>>): void
  /** Takes what `warn` and `error` leave out, as there would be too much of it. */
  debug?(message: string, about?: Readonly<Record<string, unknown>>): void
}

/** The console, for hosts that give no logger of their own. */
export const consoleLogger: Logger = {
  warn: (message, about) => console.warn(`tallygate: ${message}`, about ?? ''),
  error: (message, about) => console.error(`tallygate: ${message}`, about ?? ''),
}

const saidTo = new WeakMap<Logger, Set<string>>()

/** Warns of a mistake once, however many requests make it. */
export function warnOnce(logger: Logger, message: string): void {
  let said = saidTo.get(logger)
  if (said === undefined) saidTo.set(logger, (said = new Set()))
  if (said.has(message)) return
  said.add(message)
  logger.warn(message)
}
