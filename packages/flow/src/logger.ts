/** Where warnings and errors go. Messages never hold a secret, a prompt or an answer. */
export interface Logger {
  warn(message: string, about?: Readonly<Record<string, unknown>>): void
  error(message: string, about?: Readonly<Record<string, unknown>>): void
}

/** The console, for hosts that give no logger of their own. */
export const consoleLogger: Logger = {
  warn: (message, about) => console.warn(`tallygate: ${message}`, about ?? ''),
  error: (message, about) => console.error(`tallygate: ${message}`, about ?? ''),
}

const said = new Set<string>()

/** Warns of a mistake once in the life of a process, however many requests make it. */
export function warnOnce(logger: Logger, message: string): void {
  if (said.has(message)) return
  said.add(message)
  logger.warn(message)
}
