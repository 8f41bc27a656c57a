export { describeCalibrationStore, type OpenCalibrationStore } from './calibration-conformance.ts'
export { startFaultProxy, type FaultProxy } from './fault-proxy.ts'
export type { OpenCounterStore } from './conformance-bed.ts'
export { ALL_CAPABILITIES, describeCounterStore } from './counter-store-conformance.ts'
export { CounterOracle } from './counter-oracle.ts'
export { describeCounterStoreModel, type CounterStoreModelOptions } from './counter-store-model.ts'
export { describeLedger, type OpenLedger } from './ledger-conformance.ts'
export { describeRebuild, type OpenRebuiltStore } from './rebuilt-histories.ts'
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
export { startRedisCluster, type TestRedisCluster } from './start-redis-cluster.ts'
