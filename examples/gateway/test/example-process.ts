import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

type Signal = 'SIGINT' | 'SIGTERM'

/** An example that runs as a user starts it, in a temporary folder, so that the files it makes are not the repository's. */
export interface ExampleProcess {
  readonly folder: string
  /** What was printed so far, on both streams. */
  readonly output: string
  /** Sends a signal. Resolves to the exit code, or to the signal that ended it. */
  readonly end: (signal: Signal) => Promise<number | string | null>
}

const cleanUps: (() => Promise<void>)[] = []

/** For `afterEach`: ends what is running and removes its files. */
export async function closeExamples(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
}

/**
 * Starts an example, and waits until it has printed something.
 *
 * @param script Path from the folder `examples`.
 */
export async function startExample(
  script: string,
  environment: Readonly<Record<string, string>>,
  printed: RegExp,
): Promise<ExampleProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-example-'))
  const file = fileURLToPath(new URL(`../../${script}`, import.meta.url))
  const env = { PATH: process.env['PATH'], LEDGER: join(folder, 'usage.db'), ...environment }
  const child = spawn(process.execPath, [file], { cwd: folder, env })
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  cleanUps.push(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  }
  while (!printed.test(output)) {
    await Promise.race([once(child.stdout, 'data'), ended])
    if (child.exitCode !== null) throw new Error(`${script} has ended: ${output}`)
  }
  return {
    folder,
    get output() {
      return output
    },
    end: async (signal) => {
      child.kill(signal)
      const [code, by] = await ended
      return code ?? by
    },
  }
}
