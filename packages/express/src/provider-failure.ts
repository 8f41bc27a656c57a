import { saySeldom, type Call, type Denial } from '@tallygate/flow'
import type { Request, Response } from 'express'
import { contextIn } from './quota-context.ts'
import { sendDenial } from './send-denial.ts'

/** Errors by which no byte of a request has reached its provider. */
const UNREACHED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'EPROTO',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

/** A call whose provider did not answer. */
export interface Failure {
  readonly error: Error
  /** Of the provider: for the log, and for no caller. */
  readonly host: string
  /** The provider has said nothing for too long. */
  readonly wasSilent: boolean
}

/** Answers a call whose provider did not, in the caller's dialect, and tells the log why. */
export async function failureOf({ error, host, wasSilent }: Failure, req: Request, res: Response): Promise<void> {
  // The caller has hung up, or the answer was under way: it ends as it can.
  const context = contextIn(req)
  if (res.destroyed || req.socket.destroyed || res.headersSent || context === undefined) {
    res.destroy()
    return
  }
  const { code } = error as NodeJS.ErrnoException
  const cause = wasSilent ? 'it said nothing for too long' : error.message || code
  saySeldom(context.quota.logger, {
    level: 'warn',
    message: 'a provider did not answer a call',
    // A message can hold a port that is another one each time; a code can not.
    kind: `${host} ${wasSilent ? '' : (code ?? cause)}`,
    about: { host, cause, attempt: context.attemptId },
  })
  await sendDenial(await denialOf(error, context.call, wasSilent), {}, req, res, () => {})
}

function denialOf(error: Error, call: Call, wasSilent: boolean): Denial | Promise<Denial> {
  if (wasSilent) return call.brokeOff('provider-timeout', 'The provider did not answer in time.')
  if (UNREACHED.has((error as NodeJS.ErrnoException).code ?? '')) {
    return call.problem('provider-unreachable', 'The provider can not be reached.')
  }
  return call.brokeOff('provider-broke-off', 'The provider broke off before it answered.')
}
