import { QuotaError, type Subject, type UsageFilter } from '@tallygate/core'
import { hostSubject, type Quota } from '@tallygate/flow'
import type { Request } from 'express'

/** What somebody may see: everything of a tenant, or what is his own. */
export type ReportAccess =
  | { readonly scope: 'tenant'; readonly tenant: string }
  /** `keyIsCredential`: the query's `key` is the credential, as Gemini's clients send it, and names nobody. */
  | { readonly scope: 'own'; readonly subject: Subject; readonly keyIsCredential: boolean }

/**
 * Tells what a request may see. `all`: everything of a tenant (default: `default`). `own`: what belongs to the key that
 * the request carries. `{ key }`: what belongs to a caller whom the host vouches for, by the id that `keyGenerator` gave
 * it, with the same dimensions. `none`: nothing.
 */
export type Authorize = (req: Request) => Authorization | Promise<Authorization>
export type Authorization =
  | 'own'
  | 'none'
  | { readonly all: true; readonly tenant?: string }
  | {
      readonly key: string
      readonly dimensions?: Readonly<Record<string, string>>
      readonly groups?: readonly string[]
    }

/** A request that may not see what it asks for, or asks for somebody who is not there. */
export class AccessDenied extends Error {
  readonly status: 401 | 403 | 404

  constructor(status: 401 | 403 | 404, message: string) {
    super(message)
    this.status = status
  }
}

/** @throws AccessDenied where nothing may be seen. */
export async function accessOf(req: Request, quota: Quota, authorize: Authorize | undefined): Promise<ReportAccess> {
  const authorization = authorize === undefined ? 'own' : await authorize(req)
  if (authorization === 'none') throw new AccessDenied(403, 'This report is not for you.')
  if (typeof authorization === 'object') {
    if ('all' in authorization) return { scope: 'tenant', tenant: authorization.tenant ?? 'default' }
    const subject = hostSubject(authorization.key, authorization.dimensions, authorization.groups)
    return { scope: 'own', subject, keyIsCredential: false }
  }
  const found = await quota.identify({ headers: req.headers, url: req.url, address: req.ip })
  if (found.outcome === 'refused') throw new AccessDenied(401, 'Your API key is missing, malformed or unknown.')
  if (found.subject.standing === 'anonymous')
    throw new AccessDenied(401, 'Send your API key: the report shows what belongs to it.')
  return { scope: 'own', subject: found.subject, keyIsCredential: found.source === 'query' }
}

/** The key that a query is about: the one asked for, where that may be seen. */
export function keyFor(access: ReportAccess, asked: string | null): string | undefined {
  if (access.scope === 'tenant') return asked ?? undefined
  const { id } = access.subject
  if (asked !== null && asked !== id && !access.keyIsCredential)
    throw new AccessDenied(403, 'You can see what belongs to your own key only.')
  return id
}

/**
 * The subject whose limits are asked for: one's own, or, for those who see all, the one that is named.
 *
 * @throws AccessDenied for a name that no key has, where such are refused, and that no call was made under.
 */
export async function subjectOf(access: ReportAccess, quota: Quota, asked: string | null): Promise<Subject> {
  if (access.scope === 'own') return access.subject
  if (asked === null)
    throw new QuotaError('ERR_QUOTA_QUERY', 'limits are those of a key: name it as ?key=, as the usage report does')
  const { tenant } = access
  const subject = await quota.subjectOf(asked, tenant)
  if (subject.standing === 'registered' || !quota.refusesUnregistered) return subject
  // A key of the past, or a caller whom the host vouches for.
  const calls: UsageFilter = { tenant, key: asked, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  if ((await quota.ledger.entries(calls, { limit: 1 })).length > 0) return subject
  const name = JSON.stringify(asked.slice(0, 64))
  throw new AccessDenied(404, `The tenant ${tenant} has no key ${name}, and others are refused: name it by its id.`)
}
