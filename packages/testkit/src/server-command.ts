import { existsSync, readdirSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** How to start a server program: the command, and the environment it needs. */
export interface ServerCommand {
  readonly command: string
  readonly env: NodeJS.ProcessEnv
}

/**
 * Where a server program is: on the `PATH`, or unpacked under `node_modules/.servers` of this folder or one above
 * it, where `npm run servers` puts it for a user who may not install packages.
 */
export function serverCommand(name: string): ServerCommand {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)))
  const unpacked = onPath ? undefined : unpackedServers(name, process.cwd())
  if (unpacked === undefined) return { command: name, env: process.env }
  const libraries = join(unpacked, 'usr/lib')
  const folders = readdirSync(libraries).map((triplet) => join(libraries, triplet))
  return {
    command: join(unpacked, 'usr/bin', name),
    env: { ...process.env, LD_LIBRARY_PATH: folders.join(delimiter) },
  }
}

function unpackedServers(name: string, folder: string): string | undefined {
  const here = join(folder, 'node_modules/.servers')
  if (existsSync(join(here, 'usr/bin', name))) return here
  return dirname(folder) === folder ? undefined : unpackedServers(name, dirname(folder))
}
