import { randomUUID } from 'node:crypto'
import type { Entry, Outbox } from '@tallygate/core'
import { RedisOutbox, type RedisOutboxOptions } from '@tallygate/store-redis'
import { startRedis, testEntry, type TestRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { Redis } from 'ioredis'

describe('RedisOutbox', () => {
  let server: TestRedis
  let client: Redis
  let prefix: string
  const opened: RedisOutbox[] = []
  before(async () => {
    server = await startRedis()
    client = new Redis(server.url)
  })
  after(async () => {
    client.disconnect()
    await server.stop()
  })
  beforeEach(() => {
    prefix = `test:${randomUUID()}:`
  })
  afterEach(async () => {
    for (const outbox of opened.splice(0)) await outbox.close()
  })

  async function open(options: Partial<RedisOutboxOptions> = {}): Promise<RedisOutbox> {
    const outbox = await RedisOutbox.open({ client, prefix, ...options })
    opened.push(outbox)
    return outbox
  }

  it('gives out what was put, oldest first, until it is removed', async () => {
    const outbox = await open()
    await outbox.put(['a', 'b'].map((id) => testEntry(id)))
    await outbox.put([testEntry('c')])
    expect(outbox.size).to.equal(3)
    const first = await outbox.peek(2)
    expect(first).to.deep.equal(['a', 'b'].map((id) => testEntry(id)))
    expect(await outbox.peek(2)).to.deep.equal(first)
    await outbox.remove(first)
    expect([outbox.size, ids(await outbox.peek(9))]).to.deep.equal([1, ['c']])
  })

  it('takes all of a batch or nothing when it is full', async () => {
    const outbox = await open({ most: 3 })
    await outbox.put(['a', 'b'].map((id) => testEntry(id)))
    const failure: unknown = await outbox.put(['c', 'd'].map((id) => testEntry(id))).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_OUTBOX_FULL')
    expect([outbox.size, ids(await outbox.peek(9))]).to.deep.equal([2, ['a', 'b']])
    await outbox.put([testEntry('c')])
    expect(outbox.size).to.equal(3)
  })

  it('keeps what each process has put apart', async () => {
    const [one, other] = [await open(), await open()]
    await one.put([testEntry('a')])
    await other.put([testEntry('b')])
    expect([ids(await one.peek(9)), ids(await other.peek(9))]).to.deep.equal([['a'], ['b']])
  })

  it('takes over what a process has left that ended', async () => {
    const gone = await open()
    await gone.put(['a', 'b'].map((id) => testEntry(id)))
    await gone.close()
    const next = await open()
    expect(next.size).to.equal(2)
    await next.put([testEntry('c')])
    expect(ids(await all(next))).to.deep.equal(['a', 'b', 'c'])
    expect(next.size).to.equal(0)
  })

  it('takes over what a process has left that was killed, when it was silent for long enough', async () => {
    const killed = await open({ goneAfterMs: 1_000_000 })
    await killed.put([testEntry('a')])
    const patient = await open({ goneAfterMs: 1_000_000 })
    expect(patient.size).to.equal(0)
    const next = await open({ goneAfterMs: 1 })
    while (next.size === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    // It was only slow: what it puts now is brought in by the one or the other.
    await killed.put([testEntry('b')])
    while (next.size === 1) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(ids(await all(next))).to.deep.equal(['a', 'b'])
  })

  it('leaves nothing behind when all was brought in', async () => {
    const outbox = await open()
    await outbox.put([testEntry('a')])
    await all(outbox)
    await outbox.close()
    expect(await client.keys(`${prefix}*`)).to.deep.equal([])
  })

  it('is full as long as Redis does not answer', async () => {
    const own = await startRedis({ isOwn: true })
    const outbox = await RedisOutbox.connect({ url: own.url, prefix })
    await outbox.put([testEntry('a')])
    await own.stop()
    const failure: unknown = await outbox.put([testEntry('b')]).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_OUTBOX_FULL')
    const { host } = new URL(own.url)
    expect(failure).to.have.property('message').that.includes(`Redis can't be reached at ${host}: start it`)
    await outbox.close()
  })

  it('says that Redis does not answer', async () => {
    const failure: unknown = await RedisOutbox.connect({ url: 'redis://127.0.0.1:1' }).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
  })
})

/** All that is in an outbox, which is empty then. */
async function all(outbox: Outbox): Promise<Entry[]> {
  const found: Entry[] = []
  for (;;) {
    const some = await outbox.peek(1)
    if (some.length === 0) return found
    found.push(...some)
    await outbox.remove(some)
  }
}

function ids(entries: readonly Entry[]): string[] {
  return entries.map(({ id }) => id)
}
