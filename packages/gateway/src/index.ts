export type { Config } from './config-schema.ts'
export { configJsonSchema } from './config-json-schema.ts'
export { startGateway, type Gateway, type GatewayOptions } from './gateway.ts'
export { ConfigError, loadConfig, parseConfig, type ConfigMistake, type LoadedConfig } from './load-config.ts'
