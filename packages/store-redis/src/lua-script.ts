import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'

const FOLDER = new URL('../lua/', import.meta.url)
const INCLUDE = /^--- @include (\w+)$/gm

/** One atomic operation in Redis. Sent by its digest; by its text when the server does not know it (any more). */
export class LuaScript {
  readonly #text: string
  readonly #digest: string

  /** @param name File under `lua/`, without its ending. */
  constructor(name: string) {
    const include = (_line: string, included: string): string => read(`includes/${included}`)
    this.#text = read(name).replaceAll(INCLUDE, include)
    this.#digest = createHash('sha1').update(this.#text).digest('hex')
  }

  async run(client: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await client.evalsha(this.#digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return client.eval(this.#text, keys.length, ...keys, ...args)
    }
  }
}

function read(name: string): string {
  return readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8')
}
