import { expect } from 'chai'
import {
  askForSession,
  AT_ONCE,
  closeSessionBeds,
  openSession,
  openSessionBed,
  REQUESTS,
  TOKENS,
} from './session-bed.ts'
import { until } from './test-bed.ts'

describe('sessions over WebSocket that end', () => {
  afterEach(closeSessionBeds)

  it('by a caller who hangs up within a response: what was said is estimated, and the provider let go', async () => {
    const bed = await openSessionBed([TOKENS])
    bed.provider.realtime = { words: 200, paceMs: 5 }
    const client = await openSession(bed.port)
    client.respond()
    await until(() => client.messages.length > 20)
    client.socket.destroy()
    const goneAtMs = Date.now()
    const [session] = bed.provider.sessions
    await until(() => session!.closedAtMs !== undefined)
    expect(session!.closedAtMs! - goneAtMs).to.be.below(500)
    await until(async () => (await bed.written()).length === 1)
    const [entry] = await bed.entries()
    expect(entry).to.include({ outcome: 'aborted', status: 101 })
    expect(entry!.usage).to.deep.include({ basis: 'estimated', flags: ['lower-bound'] })
    expect(entry!.usage!.outputTokens).to.be.within(20, 400)
    expect(await bed.counted('tokens')).to.equal(entry!.usage!.outputTokens)
  })

  it('by a caller who hangs up before the provider has agreed', async () => {
    const bed = await openSessionBed([AT_ONCE])
    bed.provider.realtime = { delayMs: 300 }
    const client = await askForSession(bed.port)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(client.status).to.equal(undefined)
    client.socket.end()
    await until(async () => (await bed.written()).length === 1)
    expect((await bed.written())[0]).to.include({ outcome: 'aborted', status: undefined })
    expect(await bed.counted('at-once')).to.equal(0)
  })

  it('by a provider that breaks off: the caller is told', async () => {
    const bed = await openSessionBed([TOKENS])
    bed.provider.realtime = { breakAfter: 3 }
    const client = await openSession(bed.port)
    client.respond()
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1014)
    expect(client.messages.at(-1)).to.have.nested.property('error.code', 'provider_broke_off')
    const [entry] = await bed.entries()
    expect(entry).to.include({ outcome: 'failed' })
    expect(entry!.usage).to.include({ basis: 'estimated' })
  })

  it('before anything was said: they were a request, and used nothing', async () => {
    const bed = await openSessionBed([REQUESTS, TOKENS])
    const client = await openSession(bed.port)
    client.say(Buffer.of(0x03, 0xe8), 0x8)
    await until(() => client.isEnded)
    const entries = await bed.entries()
    expect(entries).to.have.length(1)
    expect(entries[0]!.usage).to.include({ basis: 'estimated', totalTokens: 0 })
    expect(await bed.counted('calls')).to.equal(1)
    expect(await bed.counted('tokens')).to.equal(0)
  })

  it('as nobody says anything', async () => {
    const bed = await openSessionBed([AT_ONCE], { proxy: { timeoutMs: 200 } })
    const client = await openSession(bed.port)
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1001)
    await until(() => bed.provider.sessions[0]!.closedAtMs !== undefined)
    expect((await bed.entries()).length).to.equal(1)
  })

  it('as the process drains: at once where nothing is being said, else after the response', async () => {
    const bed = await openSessionBed([TOKENS])
    bed.provider.realtime = { words: 20, paceMs: 10 }
    const idle = await openSession(bed.port)
    const busy = await openSession(bed.port)
    busy.respond()
    await until(() => busy.messages.length > 3)
    await bed.quota.drain(5_000)
    await until(() => idle.isEnded && busy.isEnded)
    expect([idle.closeCode, busy.closeCode]).to.deep.equal([1001, 1001])
    const entries = await bed.written()
    expect(entries.map(({ usage }) => usage?.totalTokens)).to.have.members([0, 50])
    expect(bed.quota.pending).to.equal(0)
  })
})
