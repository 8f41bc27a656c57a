import { QuotaError } from '@tallygate/core'
import type { ReportAccess } from './report-access.ts'

/**
 * Refuses what a report does not know, and what is said twice: a filter that is passed over in silence makes wrong
 * numbers. `tenant` is for those who may see all of one; which one is theirs, their authorization has told.
 *
 * @throws QuotaError `ERR_QUOTA_QUERY`, naming the parameter.
 */
export function assertParameters(access: ReportAccess, query: URLSearchParams, own: readonly string[]): void {
  const known = [...own, 'format', ...(access.scope === 'tenant' ? ['tenant'] : [])]
  const names = [...query.keys()]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw wrong(`there is no parameter ${JSON.stringify(unknown.slice(0, 64))}: use ${known.join(', ')}`)
  }
  const twice = names.find((name, index) => name !== 'by' && names.indexOf(name) !== index)
  if (twice !== undefined) throw wrong(`${twice} is given twice: give it once`)
  const tenant = query.get('tenant')
  if (access.scope === 'tenant' && tenant !== null && tenant !== access.tenant) {
    throw wrong(`tenant is ${JSON.stringify(tenant.slice(0, 64))}: you see another one`)
  }
}

function wrong(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_QUERY', message)
}
