import type { Call } from '@tallygate/flow'
import type { Response } from 'express'

/** Says in the answer's head where limits stand. An answer that is metered says it again when its head leaves. */
export function setFields(res: Response, call: Call): void {
  if (res.headersSent) return
  const fields = call.rateLimitFields()
  for (const name in fields) res.setHeader(name, fields[name]!)
}
