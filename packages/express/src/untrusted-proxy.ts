import { warnOnce, type Logger } from '@tallygate/flow'
import type { Request } from 'express'

/** Tells once that callers behind a proxy all look like that proxy. */
export function warnOfUntrustedProxy(req: Request, logger: Logger): void {
  if (req.headers['x-forwarded-for'] === undefined || req.app.get('trust proxy') !== false) return
  warnOnce(
    logger,
    "a request has X-Forwarded-For, but Express's 'trust proxy' is off: callers without a key are told apart by the address of the proxy",
  )
}
