import type { Redis } from 'ioredis'

/** Stands for a server that does not tell its run id: a restart then shows only by what is gone. */
const UNTOLD = 1

const KNOWN = new WeakMap<Redis, ServerIdentity>()

/**
 * Knows which run of a server a connection leads to, as a number from 1 to 2³²: another one may have lost what the last
 * one counted. A connection that broke is asked again.
 */
export class ServerIdentity {
  readonly #client: Redis
  #run: number | undefined
  #asked: Promise<number> | undefined

  /** That of a client; several stores can have the same one. */
  static of(client: Redis): ServerIdentity {
    const known = KNOWN.get(client) ?? new ServerIdentity(client)
    KNOWN.set(client, known)
    return known
  }

  private constructor(client: Redis) {
    this.#client = client
    client.on('close', () => {
      this.#run = undefined
      this.#asked = undefined
    })
  }

  /** `undefined`: ask first. */
  get run(): number | undefined {
    return this.#run
  }

  ask(): Promise<number> {
    this.#asked ??= this.#askServer()
    return this.#asked
  }

  async #askServer(): Promise<number> {
    let info: string
    try {
      info = await this.#client.info('server')
    } catch (error) {
      this.#asked = undefined
      if (error instanceof Error && error.message.startsWith('NOPERM')) return UNTOLD
      throw error
    }
    const runId = /^run_id:([0-9a-f]{8})/m.exec(info)?.[1]
    const run = (runId === undefined ? 0 : Number.parseInt(runId, 16)) || UNTOLD
    // Only if the connection that answered is still the one: a break since then has forgotten the question.
    if (this.#asked !== undefined) this.#run = run
    return run
  }
}
