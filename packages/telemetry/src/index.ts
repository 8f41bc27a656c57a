export { ATTRIBUTE, METRIC } from './names.ts'
export { Telemetry, type CallDescription, type CallTelemetry, type TelemetryOptions } from './telemetry.ts'
