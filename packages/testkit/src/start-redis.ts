import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { serverCommand } from './server-command.ts'

/** A Redis server that a test has to itself. */
export interface TestRedis {
  readonly url: string
  /** Absent where the server is not ours: `TEST_REDIS_URL`. */
  readonly pid: number | undefined
  /** Ends the server and removes its folder. A server that is not ours is left as it is. */
  stop(): Promise<void>
}

export interface StartRedisOptions {
  /** One that may be killed: never that of `TEST_REDIS_URL`. Default: false. */
  readonly isOwn?: boolean
  /** Default: a free one. */
  readonly port?: number
}

/**
 * Starts `redis-server` on a free port, in a temporary folder, without persistence; or uses the one that
 * `TEST_REDIS_URL` names. It ends with the process that started it.
 *
 * @throws Error with the command that installs it when `redis-server` is not there.
 */
export async function startRedis({ isOwn = false, port: asked }: StartRedisOptions = {}): Promise<TestRedis> {
  const given = process.env['TEST_REDIS_URL']
  if (given !== undefined && !isOwn) return { url: given, pid: undefined, stop: async () => {} }
  const folder = await mkdtemp(join(tmpdir(), 'tallygate-redis-'))
  const port = asked ?? (await freePort())
  const { command, env } = serverCommand('redis-server')
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const server = spawn(command, args, { stdio: 'ignore', env })
  const endWithUs = (): void => void server.kill('SIGKILL')
  process.once('exit', endWithUs)
  await Promise.race([answersOn(port), failureOf(server)])
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: server.pid,
    async stop() {
      process.off('exit', endWithUs)
      if (server.exitCode === null && server.signalCode === null) {
        server.kill('SIGKILL')
        await once(server, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A TCP port that nobody listens on, on the loopback interface. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** Resolves when something accepts connections on a port of the loopback interface. */
export async function answersOn(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const opened = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (opened) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function failureOf(server: ChildProcess): Promise<never> {
  const reason = await new Promise<string>((resolve) => {
    server.once('error', ({ message }) => resolve(message)).once('exit', (code) => resolve(`exit code ${code}`))
  })
  throw new Error(`redis-server did not start (${reason}): run "npm run servers", which installs it`)
}
