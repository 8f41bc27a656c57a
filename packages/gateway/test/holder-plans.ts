import type { Plan, Subject } from '@tallygate/core'

/** Plans of calls whose process is killed. */
export const HOLDER_PLANS: readonly Plan[] = [
  {
    name: 'p',
    limits: [
      { name: 'tokens', unit: 'tokens', quota: 1_000_000, window: { kind: 'lifetime' } },
      { name: 'at-once', unit: 'requests', quota: 10, window: { kind: 'concurrent' } },
    ],
  },
]

export function holderOf(id: string): Subject {
  return { id, tenant: 'default', standing: 'registered', dimensions: { tenant: 'default', key: id } }
}
