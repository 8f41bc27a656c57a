#!/usr/bin/env node
import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { isQuotaError } from '@tallygate/core'
import { configJsonSchema, priceFileJsonSchema } from './config-json-schema.ts'
import { countCommand, type CountOptions } from './count-command.ts'
import { explainCommand, type ExplainOptions } from './explain-command.ts'
import { startGateway } from './gateway.ts'
import { loadConfig } from './load-config.ts'
import { repriceCommand, type RepriceCommandOptions } from './reprice-command.ts'
import { replayCommand, type ReplayCommandOptions } from './replay-command.ts'

const program = new Command('tallygate').description('Quota management for AI APIs').version('0.1.0')

program
  .command('serve')
  .description('start the gateway')
  .option('-c, --config <file>', 'configuration', 'quota.yaml')
  .option('--no-watch', 'do not read the configuration again when its file changes, only on SIGHUP')
  .action(async ({ config, watch }: { config: string; watch: boolean }) => {
    const gateway = await startGateway(loadConfig(config), { watch: watch ? 'always' : 'never' })
    process.on('SIGHUP', () => void gateway.reload())
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

program
  .command('schema')
  .description('print the JSON Schema of the configuration, or of price files, for editors')
  .option('--of <what>', 'config or prices', 'config')
  .option('-o, --out <file>', 'write it to a file')
  .action(({ out, of }: { out?: string; of: string }) => {
    if (of !== 'config' && of !== 'prices') program.error(`error: --of is ${of}: use config or prices`)
    const schema = of === 'prices' ? priceFileJsonSchema() : configJsonSchema()
    const text = `${JSON.stringify(schema, undefined, 2)}\n`
    if (out === undefined) return void process.stdout.write(text)
    try {
      writeFileSync(out, text)
    } catch (error) {
      program.error(`error: --out can't be written: ${(error as Error).message}`)
    }
  })

program
  .command('explain')
  .description('tell which limits a call would be under, where they stand, and which one binds, without counting')
  .requiredOption('-k, --key <id>', 'key, as reports name it')
  .option('-c, --config <file>', 'configuration', 'quota.yaml')
  .option('-t, --tenant <name>', "tenant of the key; default: the key's own")
  .option('-m, --model <name>', 'model that the call asks for')
  .option('-r, --route <path>', 'path of the call below its provider')
  .option('-a, --amount <unit=amount...>', 'units that the call would use, such as tokens=1200')
  .option('-u, --url <url>', "address of the gateway's administration; default: as configured")
  .option('--json', 'print what the gateway answers')
  .action(async (options: ExplainOptions) => console.log(await explainCommand(options)))

program
  .command('reprice')
  .description('rate calls that are in the ledger again; history and counters stay as they were')
  .requiredOption('-f, --from <date>', 'first day, in UTC, or instant')
  .requiredOption('-t, --to <date>', 'last day, in UTC, or the instant after the last')
  .option('-c, --config <file>', 'configuration', 'quota.yaml')
  .option('-p, --prices <file...>', 'price files, or starter; default: those of the configuration')
  .option('--tenant <name>', 'tenant of the calls')
  .option('--unpriced <what>', 'cost of models without a price: refuse (as it was), flag (unknown), family-max')
  .option('--dry-run', 'only say what would be done')
  .option('--json', 'print it as JSON')
  .action(async (options: RepriceCommandOptions) => console.log(await repriceCommand(options)))

program
  .command('replay')
  .description('lead recorded answers of providers through the metering, and compare what it reads')
  .argument('<index>', 'recordings, one a line as JSON, beside the bodies that they name')
  .option('--json', 'print one line of JSON for each')
  .option('--provider <name>', 'only those of a provider')
  .option('--api <name>', 'only those of an API')
  .option('--rechunk <seed>', 'cut the bodies at random bytes, the same for the same seed')
  .option('--compress <coding>', 'compress the bodies: gzip, br or zstd')
  .action(async (index: string, options: ReplayCommandOptions) => {
    const output = {
      line: (text: string): void => console.log(text),
      mistake: (text: string): void => console.error(text),
    }
    if (!(await replayCommand(index, options, output))) process.exitCode = 1
  })

program
  .command('count')
  .description('count the tokens of a request on standard input, as a call would be estimated')
  .option('-m, --model <name>', 'model; default: the one that the request names')
  .option(
    '-p, --provider <name>',
    'who serves it (openrouter, vertex, …), as some wrap requests in templates of their own',
  )
  .option('-a, --api <id>', 'operation, where the request alone does not tell; such as openai-chat')
  .action(async (options: CountOptions) => console.log(await countCommand(process.stdin, options)))

program.parseAsync().catch((error: unknown) => {
  console.error(isQuotaError(error) ? error.message : error)
  process.exit(1)
})
