import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'

const FOLDER = new URL('../lua/', import.meta.url)
const INCLUDE = /^--- @include (\w+)$/gm

/** One atomic operation in Redis. Sent by its digest; by its text when the server does not know it (any more). */
export class LuaScript {
  readonly #text: string
  readonly #digest: string

  constructor(text: string) {
    this.#text = text
    this.#digest = createHash('sha1').update(text).digest('hex')
  }

  async run(client: Redis | Cluster, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await client.evalsha(this.#digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return client.eval(this.#text, keys.length, ...keys, ...args)
    }
  }
}

/**
 * The text of an operation, without comments and indentation: each shape of charges has one of its own in Redis.
 *
 * @param name File under `lua/`, without its ending.
 * @param preamble Goes before it: constants, and what a shape's script begins with. It may include, too.
 */
export function luaText(name: string, preamble: string): string {
  const include = (_line: string, included: string): string => read(`includes/${included}`)
  const text = `${preamble}\n${read(name)}`.replaceAll(INCLUDE, include)
  const bare = text.replaceAll(/--\[\[[\s\S]*?\]\]/g, '').replaceAll(/^\s*--.*$/gm, '')
  return bare.replaceAll(/^\s+/gm, '')
}

function read(name: string): string {
  return readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8')
}
