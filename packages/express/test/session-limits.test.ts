import { expect } from 'chai'
import { AT_ONCE, closeSessionBeds, LIVE, openSession, openSessionBed, TOKENS } from './session-bed.ts'
import { ask, until } from './test-bed.ts'

describe('sessions over WebSocket and limits', () => {
  afterEach(closeSessionBeds)

  it('hold one of those at once as long as they last, whatever they say, and give it back', async () => {
    const bed = await openSessionBed([AT_ONCE, TOKENS])
    const first = await openSession(bed.port)
    for (const response of [1, 2]) {
      first.respond()
      await until(async () => (await bed.written()).length === response)
      expect((await openSession(bed.port)).status).to.equal(429)
      expect(await bed.counted('at-once')).to.equal(1)
    }
    first.say(Buffer.of(0x03, 0xe8), 0x8)
    await until(() => first.isEnded)
    await until(async () => (await bed.counted('at-once')) === 0)
    expect((await openSession(bed.port)).status).to.equal(101)
    expect(await bed.counted('at-once')).to.equal(1)
  })

  it('end them when their quota is reached: told, closed, and so is the provider’s connection', async () => {
    const bed = await openSessionBed([{ ...TOKENS, quota: 120 }, AT_ONCE])
    const client = await openSession(bed.port)
    let reachedAtMs = 0
    for (const response of [1, 2, 3]) {
      client.respond()
      await until(async () => (await bed.written()).length === response)
      reachedAtMs = Date.now()
    }
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
    const last = client.messages.at(-1) as { type: string; error: { code: string } }
    expect(last.type).to.equal('error')
    expect(last.error.code).to.equal('insufficient_quota')
    const [session] = bed.provider.sessions
    await until(() => session!.closedAtMs !== undefined)
    expect(session!.closedAtMs! - reachedAtMs).to.be.below(500)
    expect(session!.responses).to.equal(3)
    expect(await bed.counted('tokens')).to.equal(150)
    expect(await bed.counted('at-once')).to.equal(0)
    expect((await bed.entries()).length).to.equal(3)
    expect((await openSession(bed.port)).status).to.equal(429)
  })

  it('end Gemini’s with a close frame, which is all that it has', async () => {
    const bed = await openSessionBed([{ ...TOKENS, quota: 50 }])
    const client = await openSession(bed.port, LIVE, { 'x-goog-api-key': 'sk-a-key' })
    client.say({ clientContent: { turnComplete: true } })
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
    expect(client.messages.some((message) => 'error' in message)).to.equal(false)
  })

  it('that only flag or watch end nothing', async () => {
    const bed = await openSessionBed([
      { ...TOKENS, quota: 10, onTrip: 'flag' },
      { ...TOKENS, name: 'watched', quota: 10, mode: 'shadow' },
    ])
    const client = await openSession(bed.port)
    for (const response of [1, 2, 3]) {
      client.respond()
      await until(async () => (await bed.written()).length === response)
    }
    expect(client.isEnded).to.equal(false)
    expect((await bed.written()).map(({ overage }) => overage)).to.deep.equal([false, true, true])
  })

  it('of which the quota is reached by others end them, too', async () => {
    const bed = await openSessionBed([{ ...TOKENS, quota: 1_000 }])
    const client = await openSession(bed.port)
    client.respond()
    await until(async () => (await bed.written()).length === 1)
    const { subject } = (await bed.written())[0]!
    await bed.quota.topUp(await bed.quota.subjectOf(subject), 'tokens', 1)
    bed.provider.script = { usage: { input: 900, output: 90 } }
    await ask(`http://127.0.0.1:${bed.port}/openai/v1/chat/completions`)
    client.respond()
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
  })
})
