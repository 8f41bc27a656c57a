import { isFreeRoute, pathOf, type ProblemKind } from '@tallygate/flow'
import type { Request } from 'express'
import { contextIn } from './quota-context.ts'
import { upgradeOf } from './serve-sessions.ts'

/** A dot segment, in any spelling; a backslash, which some servers take for a slash; an encoded slash beside dots. */
const TRICKS = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)|\\|%5c/i

/** Why a request is not forwarded: its path tries to leave the upstream, or nothing would meter it. */
export function refusalOfPath(
  req: Request,
  unmetered: 'refuse' | 'pass',
): { kind: ProblemKind; message: string } | undefined {
  const path = pathOf(req.url)
  const original = req.originalUrl
  if (!original.startsWith('/') || !path.startsWith('/') || path.startsWith('//') || TRICKS.test(path)) {
    return { kind: 'invalid-request', message: 'The path is not one that a provider has.' }
  }
  const isFree = isFreeRoute(req.method, req.url) && upgradeOf(req) === undefined
  const isKnown = contextIn(req)?.call.meters === true || isFree
  if (unmetered === 'pass' || isKnown) return undefined
  return {
    kind: 'not-found',
    message: `${req.method} on this path is not forwarded: nothing here meters what it uses.`,
  }
}
