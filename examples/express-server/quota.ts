// One quota for the middlewares and the report: plans, and a ledger that outlives the process.
// #region quota
import { createQuota } from '@tallygate/flow'
import { SqliteLedger } from '@tallygate/store-sql'

export const ledger = await SqliteLedger.open({ file: '.tallygate/usage.db' })

export const quota = createQuota({
  ledger,
  plans: [
    {
      name: 'team',
      limits: [
        { name: 'requests-per-minute', unit: 'requests', quota: 60, window: { kind: 'sliding', durationMs: 60_000 } },
        { name: 'tokens-per-month', unit: 'tokens', quota: 2_000_000, window: { kind: 'fixed', every: 'month' } },
      ],
    },
  ],
  defaultPlans: ['team'],
})
// #endregion quota
