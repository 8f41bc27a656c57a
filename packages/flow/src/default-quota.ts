import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { QuotaError } from '@tallygate/core'
import { createQuota, type Quota } from './quota.ts'

/** One for all copies of this package in a process. */
const KEY = Symbol.for('tallygate.default-quota')

/**
 * The quota of everything that is given none: made at its first use, from the module that `TALLYGATE_CONFIG` names (its
 * export `quota`, or its default export), else in memory and without limits. A promise while that module loads, which may
 * await what it opens.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` when that module can't be loaded or exports none.
 */
export function defaultQuota(): Quota | Promise<Quota> {
  const shared = globalThis as { [KEY]?: Quota | Promise<Quota> }
  return (shared[KEY] ??= begin(shared))
}

function begin(shared: { [KEY]?: Quota | Promise<Quota> }): Quota | Promise<Quota> {
  const path = process.env['TALLYGATE_CONFIG']
  if (path === undefined || path === '') return createQuota()
  return configuredQuota(path).then((quota) => (shared[KEY] = quota))
}

async function configuredQuota(path: string): Promise<Quota> {
  let exported: { quota?: unknown; default?: unknown }
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)) as typeof exported
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
