export type { Config } from './config-schema.ts'
export { startGateway, type Gateway } from './gateway.ts'
export { ConfigError, loadConfig, parseConfig, type ConfigMistake, type LoadedConfig } from './load-config.ts'
