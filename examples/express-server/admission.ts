// #region admission
import { Admission, bindLimits, CompiledPlan, MemoryCounterStore } from '@tallygate/core'

const plan = new CompiledPlan({
  name: 'trial',
  limits: [{ name: 'tokens-per-day', unit: 'tokens', quota: 1_000, window: { kind: 'fixed', every: 'day' } }],
})
const admission = new Admission({ store: new MemoryCounterStore() })
const caller = { tenant: 'default', key: 'alice' }
const bound = bindLimits({ plans: [plan], combine: 'all' }, caller, {}, ['tenant', 'key'])

const decision = await admission.admit({ id: 'call-1', bound, amounts: { tokens: 600 }, context: '' })
console.log(decision.admitted) // true: 600 of 1,000 are held

const second = await admission.admit({ id: 'call-2', bound, amounts: { tokens: 600 }, context: '' })
console.log(second.admitted, second.statuses[0]?.remaining) // false 400: nothing was charged

if (decision.admitted && decision.reservation !== undefined) {
  const atMs = admission.settlementTime(decision.reservation)
  console.log(await admission.settle(decision.reservation, { tokens: 150 }, atMs)) // settled: 150 are used
}
console.log((await admission.read(bound)).statuses[0]?.used) // 150
// #endregion admission
