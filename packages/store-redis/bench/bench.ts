/**
 * CPU of a decision in Redis, beside that of peers, of the process that asks and of the server: `node bench.ts [rounds]`.
 * Every contestant has its own connection with the same options; rounds are interleaved, medians are printed.
 */
import { startRedis, type TestRedis } from '@tallygate/testkit'
import { Redis } from 'ioredis'
import { contestants, type Contestant } from './contestants.ts'

const OPERATIONS = 10_000
const AT_ONCE = 32

interface Cost {
  readonly clientUs: number
  readonly serverUs: number
}

const rounds = Number(process.argv[2] ?? 7)
const server = await startRedis()
const clients: Redis[] = []
const only = process.argv[3]
const all = contestants(() => {
  const client = new Redis(server.url)
  clients.push(client)
  return client
}).filter(({ name }) => only === undefined || name.includes(only))
const operator = new Redis(server.url)
const costs = new Map<string, Cost[]>(all.map(({ name }) => [name, []]))
for (const contestant of all) await costOf(contestant, server)
for (let round = 0; round < rounds; round += 1) {
  for (const contestant of all) costs.get(contestant.name)!.push(await costOf(contestant, server))
}
print(only === undefined)
for (const client of [...clients, operator]) client.disconnect()
await server.stop()

async function costOf({ run, name }: Contestant, { url }: TestRedis): Promise<Cost> {
  if (url === process.env['TEST_REDIS_URL']) throw new Error('this benchmark empties its Redis: unset TEST_REDIS_URL')
  await operator.flushall()
  // All keys are there before it counts: a caller's first call is not the one to measure.
  await repeat(run, OPERATIONS)
  const [clientBefore, serverBefore] = [process.cpuUsage(), await serverCpu()]
  await repeat(run, OPERATIONS)
  const client = process.cpuUsage(clientBefore)
  const serverUs = ((await serverCpu()) - serverBefore) / OPERATIONS
  process.stderr.write(`${name} `)
  return { clientUs: (client.user + client.system) / OPERATIONS, serverUs }
}

async function repeat(run: (index: number) => Promise<unknown>, operations: number): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < operations) {
      next += 1
      await run(next)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** Microseconds of CPU that the server has used. */
async function serverCpu(): Promise<number> {
  const info = await operator.info('cpu')
  const seconds = (of: string): number => Number(new RegExp(`^used_cpu_${of}:(.*)$`, 'm').exec(info)?.[1])
  return (seconds('user') + seconds('sys')) * 1e6
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1]!
}

function print(isComplete: boolean): void {
  const medians = new Map<string, Cost>()
  for (const [name, of] of costs) {
    const cost = {
      clientUs: median(of.map(({ clientUs }) => clientUs)),
      serverUs: median(of.map(({ serverUs }) => serverUs)),
    }
    medians.set(name, cost)
    console.log(
      `${name.padEnd(44)} client ${cost.clientUs.toFixed(1).padStart(6)} us   Redis ${cost.serverUs.toFixed(1).padStart(6)} us`,
    )
  }
  if (!isComplete) return
  const ratio = (what: string, of: string, to: string, by: keyof Cost): void => {
    const value = medians.get(of)![by] / medians.get(to)![by]
    console.log(`${what.padEnd(72)} ${value.toFixed(3)}`)
  }
  console.log()
  const [ours, flexible] = ['tallygate, 4 limits', 'rate-limiter-flexible, 4 limits']
  ratio('client CPU, 4 limits: tallygate / rate-limiter-flexible', ours, flexible, 'clientUs')
  ratio('Redis CPU, 4 limits: tallygate / rate-limiter-flexible', ours, flexible, 'serverUs')
  const pair = 'tallygate, 1 and 4 limits on one key in turn'
  ratio('Redis CPU: tallygate, 1 and 4 limits on one key in turn / 4 limits', pair, ours, 'serverUs')
  ratio('Redis CPU: tallygate, 8 limits / 1 limit', 'tallygate, 8 limits', 'tallygate, 1 limit', 'serverUs')
  const added = (name: string): number =>
    medians.get(`Express with ${name}, 4 limits`)!.clientUs - medians.get('Express')!.clientUs
  for (const other of ['rate-limiter-flexible', 'express-rate-limit']) {
    const what = `client CPU added to Express, 4 limits: tallygate / ${other}`
    console.log(`${what.padEnd(72)} ${(added('tallygate') / added(other)).toFixed(3)}`)
  }
}
