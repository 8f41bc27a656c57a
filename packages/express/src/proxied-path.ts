import { coverageOf, pathOf, type ProblemKind } from '@tallygate/flow'
import type { Request } from 'express'
import { contextIn } from './quota-context.ts'
import { upgradeOf } from './serve-sessions.ts'

/** What becomes of calls that cost something and that nothing meters. */
export const UNMETERED = ['refuse', 'flag', 'pass'] as const
export type Unmetered = (typeof UNMETERED)[number]

/** A dot segment, in any spelling; a backslash, which some servers take for a slash; an encoded slash beside dots. */
const TRICKS = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)|\\|%5c/i

/** Why a request is not forwarded: its path tries to leave the upstream. */
export function refusalOfPath(req: Request): { kind: ProblemKind; message: string } | undefined {
  const path = pathOf(req.url)
  const original = req.originalUrl
  if (original.startsWith('/') && path.startsWith('/') && !path.startsWith('//') && !TRICKS.test(path)) return undefined
  return { kind: 'invalid-request', message: 'The path is not one that a provider has.' }
}

/**
 * What a request asks for that costs something and that nothing meters, in two or three words: `batch of calls`, or
 * `unknown route`, as what nobody knows may cost something. `undefined`: it is metered, or free.
 */
export function unmeteredPurpose(req: Request): string | undefined {
  if (contextIn(req)?.call.meters === true) return undefined
  // Of a session that nobody can look into, nothing is known.
  if (upgradeOf(req) !== undefined) return 'unknown session'
  const coverage = coverageOf(req.method, req.url)
  if (coverage?.kind === 'free') return undefined
  return coverage?.kind === 'unmetered' ? coverage.route.what : 'unknown route'
}
