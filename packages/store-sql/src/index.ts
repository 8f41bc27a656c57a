export { SqliteCalibrationStore, type SqliteCalibrationStoreOptions } from './sqlite-calibration-store.ts'
export type { LedgerOutage } from './outage-notice.ts'
export { SqliteLedger, type SqliteLedgerOptions } from './sqlite-ledger.ts'
