export type { Authorization, Authorize } from './report-access.ts'
export { usageReportRouter, type UsageReportRouterOptions } from './usage-report-router.ts'
