import { hostSubject } from '@tallygate/flow'
import type { Request, RequestHandler, Response } from 'express'
import { checkOptions } from './check-options.ts'
import { HostValues, type HostText } from './host-values.ts'
import type { SharedOptions } from './middleware-options.ts'
import { middlewareOf, type Step } from './step.ts'

export interface IdentifyKeyOptions extends SharedOptions {
  /**
   * Tells who calls by an id that the host vouches for, such as the user of its session, in place of the API key. It
   * stands in reports as it is: never return a secret. Whom it does not name (`undefined`, an empty text) is told by the
   * key of the request, as without it. A number is written as a text; anything else fails the request.
   */
  readonly keyGenerator?: (req: Request, res: Response) => HostText | Promise<HostText>
  /** Further dimensions of the caller, by which limits can count: user, group, tenant and so on. Values as for `keyGenerator`. */
  readonly dimensions?: (req: Request, res: Response) => Readonly<Record<string, HostText>>
  /** Groups of the caller, by which plans are assigned and quotas overridden, beside the dimension `group`. */
  readonly groups?: (req: Request, res: Response) => readonly string[]
}

/** The step of {@link identifyKey}, for those that identify on their way. */
export function identifying({ keyGenerator, dimensions, groups }: IdentifyKeyOptions): Step {
  if (keyGenerator === undefined && dimensions === undefined && groups === undefined)
    return ({ call }) => call.identify()
  return async ({ call, quota }, req, res) => {
    const values = new HostValues(quota.logger)
    const further = values.dimensions(dimensions?.(req, res))
    const among = values.groups(groups?.(req, res))
    const id = values.text(await keyGenerator?.(req, res), 'keyGenerator()')
    if (id !== undefined && id !== '') {
      call.identifyAs(hostSubject(id, further, among))
      return undefined
    }
    const denial = await call.identify()
    if (denial !== undefined || (further === undefined && among === undefined)) return denial
    const subject = call.subject!
    const tenant = further?.['tenant'] ?? subject.tenant
    const all = { ...subject.dimensions, ...further, tenant }
    call.identifyAs({ ...subject, tenant, dimensions: all, groups: among ?? subject.groups })
    return undefined
  }
}

/**
 * Tells who calls: by the API key, which is fingerprinted and forgotten, or by a function of the host's. Sets
 * `req.quota.subject`. Answers 401 in the caller's dialect where the quota refuses unknown or missing keys.
 */
export function identifyKey(options: IdentifyKeyOptions = {}): RequestHandler {
  checkOptions(options, ['keyGenerator', 'dimensions', 'groups'], 'identifyKey()')
  return middlewareOf(identifying(options), options)
}
