import type { Denial } from '@tallygate/flow'
import type { Request } from 'express'
import type { SharedOptions } from './middleware-options.ts'
import { contextIn } from './quota-context.ts'

/** Who is told of a key that nobody has handed out. */
export interface GuessWatch {
  /** Counts the guess. Returns what to answer in place of 401 where there were too many. */
  guessed(req: Request, requestId: string): Promise<Denial | undefined>
  /** How that is answered. */
  readonly shared: SharedOptions
}

const WATCHES = Symbol('tallygate guess watches')
type Watched = Request & { [WATCHES]?: GuessWatch[] }

/** Has a watch told of what the request's key turns out to be. */
export function watchGuesses(req: Request, watch: GuessWatch): void {
  const watched = req as Watched
  const watches = (watched[WATCHES] ??= [])
  if (!watches.includes(watch)) watches.push(watch)
}

/** Tells the watches of a request whose caller nobody knows. Returns what to send in place of 401, of the first that says. */
export async function afterGuess(
  req: Request,
): Promise<{ readonly denial: Denial; readonly shared: SharedOptions } | undefined> {
  const watches = (req as Watched)[WATCHES]
  const call = contextIn(req)?.call
  if (watches === undefined || call?.hasUnknownKey !== true) return undefined
  for (const watch of watches) {
    const denial = await watch.guessed(req, call.attemptId)
    if (denial !== undefined) return { denial, shared: watch.shared }
  }
  return undefined
}
