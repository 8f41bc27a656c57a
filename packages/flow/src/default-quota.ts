import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { QuotaError } from '@tallygate/core'
import { createQuota, type Quota } from './quota.ts'

/** One for all copies of this package in a process. */
const KEY = Symbol.for('tallygate.default-quota')

/**
 * The quota of everything that is given none: made at its first use, from the module that `TALLYGATE_CONFIG` names (its
 * export `quota`, or its default export), else in memory and without limits.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` when that module can't be loaded or exports none.
 */
export function defaultQuota(): Quota {
  const shared = globalThis as { [KEY]?: Quota }
  shared[KEY] ??= configuredQuota(process.env['TALLYGATE_CONFIG']) ?? createQuota()
  return shared[KEY]
}

function configuredQuota(path: string | undefined): Quota | undefined {
  if (path === undefined || path === '') return undefined
  const file = resolve(path)
  let exported: { quota?: unknown; default?: unknown }
  try {
    exported = createRequire(file)(file) as typeof exported
  } catch (error) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `TALLYGATE_CONFIG names ${path}, which can't be loaded: ${(error as Error).message}`,
      { cause: error },
    )
  }
  const quota = exported.quota ?? exported.default
  if (typeof (quota as Quota | undefined)?.begin !== 'function') {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `TALLYGATE_CONFIG names ${path}, which exports no quota: export const quota = createQuota({ … })`,
    )
  }
  return quota as Quota
}
