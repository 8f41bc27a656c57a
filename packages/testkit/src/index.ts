export { describeCounterStore, type OpenCounterStore } from './counter-store-conformance.ts'
export { describeLedger, type OpenLedger } from './ledger-conformance.ts'
export { describeRebuild, type OpenRebuiltStore } from './rebuild-conformance.ts'
export { runs } from './runs.ts'
export type { Script, ScriptedUsage } from './scripted-answer.ts'
export {
  startScriptedProvider,
  type ReceivedRequest,
  type ScriptedProvider,
  type ScriptedProviderOptions,
} from './scripted-provider.ts'
export { SettableClock } from './settable-clock.ts'
export { freePort, startRedis, type TestRedis } from './start-redis.ts'
