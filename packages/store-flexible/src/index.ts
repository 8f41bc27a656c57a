export { FlexibleCounterStore, type FlexibleCounterStoreOptions } from './flexible-counter-store.ts'
export type { FlexibleLimiter } from './flexible-limiter.ts'
