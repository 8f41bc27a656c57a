import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'

const PROMPT = 'The quick brown fox jumps over the lazy dog. '.repeat(16)
const MESSAGE = {
  model: 'gpt-4o',
  max_tokens: 256,
  temperature: 0.7,
  messages: [
    { role: 'system', content: 'You are helpful.' },
    { role: 'user', content: PROMPT },
  ],
}

/** What is sent to a server that is measured: an answer of 1 kB in one piece, or a stream of 200 events. */
export const WORKLOADS = {
  json: { body: JSON.stringify(MESSAGE), connections: Number(process.env['BENCH_CONNECTIONS'] ?? 32) },
  stream: { body: JSON.stringify({ ...MESSAGE, stream: true }), connections: 16 },
} as const

/** With two cores, what is measured has one to itself. */
const isPinned = availableParallelism() >= 2 && process.platform === 'linux'

/** Starts a file of this folder as a process of its own, on a core. */
export function start(file: string, args: readonly string[], core: number, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const
  const child = fork(new URL(file, import.meta.url).pathname, args, {
    stdio: [...stdio],
    env: { ...process.env, ...env },
  })
  pin(child.pid!, core)
  return child
}

/** Keeps a process on a core, where there are cores to choose from. */
export function pin(pid: number, core: number): void {
  if (!isPinned) return
  spawn('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' }).on('error', () => {})
}

/** The next message of a process. */
export async function reply<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T]
  return message
}
