import type { Cluster, Redis } from 'ioredis'

/** What of a socket is needed. */
interface Corkable {
  cork(): void
  uncork(): void
}

/**
 * Lets the commands that a process sends in one tick leave in one write, and the server read them at once: a system call
 * each is most of what a command costs. Nothing waits for longer than the tick.
 */
export class SameTickWrites {
  readonly #client: Redis | Cluster
  #corked: Corkable | undefined
  readonly #uncork = (): void => {
    const corked = this.#corked
    this.#corked = undefined
    corked?.uncork()
  }

  constructor(client: Redis | Cluster) {
    this.#client = client
  }

  /** Call it before a command is sent. A client that has no such socket, as that of a Cluster, writes as it does. */
  gather(): void {
    if (this.#corked !== undefined) return
    const { stream } = this.#client as { readonly stream?: Partial<Corkable> | undefined }
    if (typeof stream?.cork !== 'function' || typeof stream.uncork !== 'function') return
    stream.cork()
    this.#corked = stream as Corkable
    process.nextTick(this.#uncork)
  }
}
