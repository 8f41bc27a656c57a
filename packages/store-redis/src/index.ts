export { RedisCounterStore, type RedisConnectionOptions, type RedisCounterStoreOptions } from './redis-counter-store.ts'
