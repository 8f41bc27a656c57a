/**
 * Makes sure that the servers the tests start are on this machine: `redis-server`. Debian's package is
 * installed (as root), or else downloaded and unpacked into `node_modules/.servers`, where the tests look too.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

const unpacked = join(import.meta.dirname, '../node_modules/.servers')
const servers = [{ command: 'redis-server', packages: ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'] }]

for (const { command, packages } of servers) if (!isHere(command)) install(command, packages)

function isHere(command: string): boolean {
  return (
    spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0 ||
    existsSync(join(unpacked, 'usr/bin', command))
  )
}

function install(command: string, packages: string[]): void {
  if (process.platform !== 'linux') stop(`${command} is not on this machine: install it, then run this again`)
  process.stdout.write(`installing ${command}\n`)
  if (process.getuid?.() === 0) {
    run('apt-get', ['update', '-q'])
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', packages[0]!])
  } else {
    mkdirSync(unpacked, { recursive: true })
    for (const name of packages) {
      run('apt-get', ['download', '-q', name], unpacked)
      run('sh', ['-c', `dpkg-deb -x ${name}_*.deb .`], unpacked)
    }
  }
  if (!isHere(command)) stop(`${command} could not be installed: install it by hand, then run this again`)
}

function run(command: string, args: string[], cwd?: string): void {
  const done = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    ...(cwd ? { cwd } : {}),
  })
  if (done.status !== 0) stop(`\`${command} ${args.join(' ')}\` failed`)
}

function stop(reason: string): never {
  process.stderr.write(`${reason}\n`)
  process.exit(1)
}
