/** `npm run check`: lint, format, types of what is not built, the arrows of the house, and the docs. All run, then it fails. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

import { architectureFaults } from './check-architecture.ts'
import { docsFaults } from './check-docs.ts'

const root = join(import.meta.dirname, '..')
const checks: readonly [name: string, faults: () => Promise<readonly string[]>][] = [
  ['lint', () => outputOf('oxlint', ['--deny-warnings'])],
  ['format', () => outputOf('oxfmt', ['--check'])],
  ['types', () => outputOf('tsc', ['-p', 'tsconfig.check.json'])],
  ['architecture', () => architectureFaults(root)],
  ['docs', () => docsFaults(root)],
]

for (const [name, faultsOf] of checks) {
  const faults = await faultsOf()
  process.stdout.write(`${name}: ${faults.length === 0 ? 'ok' : 'failed'}\n`)
  for (const fault of faults) process.stdout.write(`  ${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
}

/** What a command that failed had to say; nothing where it succeeded. */
async function outputOf(command: string, args: readonly string[]): Promise<readonly string[]> {
  const ran = spawnSync(join(root, 'node_modules/.bin', command), args, { cwd: root, encoding: 'utf8' })
  if (ran.status === 0) return []
  return [ran.error?.message ?? '', ran.stdout ?? '', ran.stderr ?? ''].join('\n').split('\n').filter(Boolean)
}
