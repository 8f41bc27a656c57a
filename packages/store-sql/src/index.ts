export { SqliteCalibrationStore, type SqliteCalibrationStoreOptions } from './sqlite-calibration-store.ts'
export { SqliteLedger, type SqliteLedgerOptions } from './sqlite-ledger.ts'
