import { once } from 'node:events'
import { connect } from 'node:net'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import type { Script } from '@tallygate/testkit'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, HELLO, openTestBed, type TestBed } from './test-bed.ts'

const TWO_AT_ONCE = {
  name: 'p',
  limits: [{ name: 'at-once', unit: 'requests', quota: 2, window: { kind: 'concurrent' } }],
} as const
/** Long enough that whoever hangs up does so in its middle. */
const LONG: Script = { text: 'A word after another. '.repeat(400), paceMs: 5 }
const STREAM = JSON.stringify({ ...HELLO, stream: true })

async function served(bed: TestBed): Promise<string> {
  return bed.serve(
    express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url, credential: 'pass' })),
  )
}

/** Begins a stream on a socket of its own, and waits until its answer has begun. */
async function streaming(url: string): Promise<{ hangUp(): void }> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-a-key\r\n' +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(STREAM)}\r\n\r\n${STREAM}`,
  )
  const [first] = (await once(socket, 'data')) as [Buffer]
  if (!first.toString().startsWith('HTTP/1.1 200')) throw new Error(first.toString())
  return { hangUp: () => void socket.destroy() }
}

describe('a limit on calls at once', () => {
  afterEach(closeTestBeds)

  let bed: TestBed
  let url: string
  beforeEach(async () => {
    bed = await openTestBed({ plans: [TWO_AT_ONCE], defaultPlans: ['p'] })
    url = await served(bed)
  })

  /** Streams until the limit is reached: no third call passes. */
  async function full(): Promise<readonly { hangUp(): void }[]> {
    bed.provider.script = LONG
    const streams = [await streaming(url), await streaming(url)]
    expect((await ask(url)).status).to.equal(429)
    bed.provider.script = {}
    return streams
  }

  it('gives its place back when a call ends', async () => {
    const answers = []
    for (let call = 0; call < 6; call += 1) answers.push((await ask(url)).status)
    expect(answers).to.deep.equal([200, 200, 200, 200, 200, 200])
    expect(await bed.used('at-once')).to.equal(0)
  })

  it('never lets more through at once, whatever comes at once', async () => {
    let running = 0
    let most = 0
    bed.provider.script = () => {
      most = Math.max(most, (running += 1))
      setTimeout(() => (running -= 1), 20)
      return { delayMs: 20 }
    }
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(url)))
    const passed = answers.filter(({ status }) => status === 200).length
    expect(passed).to.equal(bed.provider.requests.length)
    expect([passed >= 2, most]).to.deep.equal([true, 2])
    expect(await bed.used('at-once')).to.equal(0)
  })

  it('gives its place back when a caller hangs up', async () => {
    const [first, second] = await full()
    first!.hangUp()
    while (bed.quota.pending > 1) await new Promise(setImmediate)
    expect((await ask(url)).status).to.equal(200)
    second!.hangUp()
    expect(await bed.used('at-once')).to.equal(0)
  })

  const failures: readonly (readonly [what: string, script: Script, status: number])[] = [
    ['answers with an error', { status: 500 }, 500],
    ['closes the connection before it answers', { breakAfter: 0 }, 502],
  ]
  for (const [what, script, status] of failures) {
    it(`gives its place back when the provider ${what}`, async () => {
      bed.provider.script = script
      for (let call = 0; call < 4; call += 1) expect((await ask(url)).status).to.equal(status)
      expect(await bed.used('at-once')).to.equal(0)
    })
  }

  it('gives its place back when the provider breaks off in the middle of a stream', async () => {
    bed.provider.script = { ...LONG, breakAfter: 5 }
    for (let call = 0; call < 4; call += 1) {
      const { status } = await ask(url, { body: { ...HELLO, stream: true } })
      expect(status).to.equal(200)
      // The provider has said nothing of its usage: it is given back when the text was counted.
      await bed.quota.drain()
    }
    expect(await bed.used('at-once')).to.equal(0)
  })

  it('gives the places of a process that died back when its holds expire, and not before', async () => {
    // As a process that is killed leaves them: held, and never settled nor extended.
    const request = { owner: 'tenant=default,key=', lifetimeMs: 60_000, context: '' }
    await ask(url)
    const [{ subject } = { subject: '' }] = await bed.entries()
    const { statuses } = await bed.quota.limitsOf({
      id: subject,
      tenant: 'default',
      standing: 'registered',
      dimensions: { tenant: 'default', key: subject },
    })
    const { counter } = statuses[0]!.bound
    for (const id of ['dead-1', 'dead-2']) {
      const charge = {
        counter,
        window: { kind: 'concurrent' },
        amount: 1,
        quota: 2,
        trip: 'fits',
        effect: 'refuse',
        onChange: { quota: 'now', duration: 'now' },
        onExpiry: 'keep',
        alternative: 0,
        isRebuilt: false,
      } as const
      const reply = await bed.store.reserve({ ...request, owner: counter.owner, id, charges: [charge] })
      expect(reply.outcome).to.equal('granted')
    }
    expect((await ask(url)).status).to.equal(429)
    bed.clock.advance(59_000)
    expect((await ask(url)).status).to.equal(429)
    bed.clock.advance(1_001)
    expect((await ask(url)).status).to.equal(200)
    expect(await bed.used('at-once')).to.equal(0)
  })
})
