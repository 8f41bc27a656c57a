export { RedisCounterStore, type RedisConnectionOptions, type RedisCounterStoreOptions } from './redis-counter-store.ts'
export { RedisOutbox, type RedisOutboxConnectionOptions, type RedisOutboxOptions } from './redis-outbox.ts'
