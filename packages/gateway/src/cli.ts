#!/usr/bin/env node
import { Command } from 'commander'
import { isQuotaError } from '@tallygate/core'
import { startGateway } from './gateway.ts'
import { loadConfig } from './load-config.ts'

const program = new Command('tallygate').description('Quota management for AI APIs').version('0.1.0')

program
  .command('serve')
  .description('start the gateway')
  .option('-c, --config <file>', 'configuration', 'quota.yaml')
  .action(async ({ config }: { config: string }) => {
    const gateway = await startGateway(loadConfig(config))
    // A terminal's interrupt wants no time for load balancers to notice.
    process.once('SIGTERM', () => void gateway.stop().then(() => process.exit(0)))
    process.once('SIGINT', () => void gateway.stop({ delayMs: 0 }).then(() => process.exit(0)))
    console.log(`tallygate: callers at ${gateway.url}, administration at ${gateway.administrationUrl}`)
  })

program
  .command('check-config')
  .description('check a configuration without starting anything')
  .argument('[file]', 'configuration', 'quota.yaml')
  .action((file: string) => {
    loadConfig(file)
    console.log(`${file}: ok`)
  })

program.parseAsync().catch((error: unknown) => {
  console.error(isQuotaError(error) ? error.message : error)
  process.exit(1)
})
