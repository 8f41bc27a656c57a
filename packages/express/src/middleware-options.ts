import { defaultQuota, type Denial, type Quota, type RateLimitStyle } from '@tallygate/flow'
import type { NextFunction, Request, Response } from 'express'

/** What a `handler` is told beside the request. */
export interface DenialDetails {
  /** Status, headers, body and reasons of the answer that would be sent. */
  readonly denial: Denial
  readonly statusCode: number
  readonly message: unknown
}

/** Options that all quota middlewares share. Names are those of express-rate-limit where the meaning is. */
export interface SharedOptions {
  /** Default: the quota that the process shares; see `defaultQuota`. */
  readonly quota?: Quota
  /** Property of the request that the context is kept in. Default: `quota`. */
  readonly requestPropertyName?: string
  /** Requests that pass untouched. */
  readonly skip?: (req: Request, res: Response) => boolean | Promise<boolean>
  /** Answers a denied request in place of the default, which speaks the dialect of the route. */
  readonly handler?: (req: Request, res: Response, next: NextFunction, details: DenialDetails) => void | Promise<void>
  /** Body of a refusal for quota, in place of the dialect's. */
  readonly message?: unknown
  /** Status of a refusal for quota, in place of 429, 402 or 413. */
  readonly statusCode?: number
  /** RateLimit fields of answers. `true` is `draft-8`. Default: as the quota says. */
  readonly standardHeaders?: boolean | 'draft-6' | 'draft-7' | 'draft-8'
  /** Whether to send `X-RateLimit-*` as well. Default: false. */
  readonly legacyHeaders?: boolean
  /** Whether mistakes that make quotas useless are warned about, once. Default: true. */
  readonly validate?: boolean
}

/** The quota that a middleware works with. The shared one is made at its first use, not when it is mounted. */
export function quotaOf({ quota }: SharedOptions): () => Quota | Promise<Quota> {
  return quota === undefined ? defaultQuota : () => quota
}

/** The fields that options ask for; `undefined` leaves it to the quota. */
export function stylesOf({
  standardHeaders,
  legacyHeaders = false,
}: SharedOptions): readonly RateLimitStyle[] | undefined {
  if (standardHeaders === undefined && !legacyHeaders) return undefined
  const { standard } = {
    standard: standardHeaders === undefined || standardHeaders === true ? 'draft-8' : standardHeaders,
  } as const
  return [...(standard === false ? [] : [standard]), ...(legacyHeaders ? (['x'] as const) : [])]
}
