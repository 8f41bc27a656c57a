import type { RequestHandler } from 'express'
import { checkOptions, checkServing } from './check-options.ts'
import type { SharedOptions } from './middleware-options.ts'
import type { QuotaContext } from './quota-context.ts'
import { replaceBody } from './raw-body.ts'
import { readRequest, type BodyOptions } from './read-request.ts'
import { hookResponse } from './response-hook.ts'
import { middlewareOf, type Step } from './step.ts'

export interface MeterUsageOptions extends SharedOptions, BodyOptions {
  /** Name of the provider in the ledger, in reports and in telemetry. Default: that of the dialect, such as `openai`. */
  readonly provider?: string
  /**
   * Host that calls are forwarded to: `api.mistral.ai`. Where `provider` is a name of your own, it tells in which ways of its
   * own the provider serves. `llmProxy()` tells it too, but not before the request was read.
   */
  readonly host?: string
}

/** The step of {@link meterUsage}. */
export function metering(options: MeterUsageOptions): Step {
  const meter: Step = (context, req, res) => {
    const { call } = context
    call.meter(options.provider, options.host)
    if (!call.meters) return undefined
    // What a provider compresses would have to be unpacked to be read.
    req.headers['accept-encoding'] = 'identity'
    const changed = call.bodyToForward()
    if (changed !== undefined) forwardInstead(changed, call.metered.changedMembers, req)
    hookResponse(res, context)
    return undefined
  }
  return (context, req, res) => {
    context.call.servedBy(options.provider, options.host)
    const read = readRequest(req, context, options)
    if (!(read instanceof Promise)) return read ?? meter(context, req, res)
    return read.then((denial) => denial ?? meter(context, req, res))
  }
}

/**
 * Reads from the answer what the call has used, as it passes: for providers' answers that are proxied, and for handlers
 * that answer in a provider's shape. Streams that would not state their usage are asked for it, and the caller does not
 * notice.
 */
export function meterUsage(options: MeterUsageOptions = {}): RequestHandler {
  checkOptions(options, ['bodyLimitBytes', 'provider', 'host'], 'meterUsage()')
  checkServing(options, 'meterUsage()')
  return middlewareOf(metering(options), options, withinSpan)
}

/** Goes on as part of the call's span. */
export function withinSpan({ call }: QuotaContext, next: () => void): void {
  call.telemetry.run(next)
}

function forwardInstead(changed: Buffer, members: readonly string[], req: Parameters<Step>[1]): void {
  const body: unknown = req.body
  const isParsed = typeof body === 'object' && body !== null && !Buffer.isBuffer(body)
  // A parsed body is what fixRequestBody and handlers go on with.
  if (isParsed) {
    const parsed = JSON.parse(changed.toString('utf8')) as Record<string, unknown>
    for (const name of members) {
      if (Object.hasOwn(parsed, name)) (body as Record<string, unknown>)[name] = parsed[name]
    }
  }
  if (Buffer.isBuffer(body)) req.body = changed
  if (req.rawBody !== undefined || isParsed) req.rawBody = changed
  else replaceBody(req, changed)
}
