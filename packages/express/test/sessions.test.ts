import { once } from 'node:events'
import { connect } from 'node:net'
import { frameOf } from '@tallygate/testkit'
import { expect } from 'chai'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { closeSessionBeds, LIVE, masked, openSession, openSessionBed, REQUESTS, TOKENS } from './session-bed.ts'
import { EXPRESSES, until } from './test-bed.ts'

describe('sessions over WebSocket', () => {
  afterEach(closeSessionBeds)

  for (const { version, express: expressOf } of EXPRESSES) {
    it(`are forwarded byte for byte, and metered response by response: ${version}`, async () => {
      const bed = await openSessionBed([REQUESTS, TOKENS], { express: expressOf })
      bed.provider.realtime = { usage: { input: 20, output: 30, cached: 5 }, audioBytes: 2_000 }
      const client = await openSession(bed.port)
      expect(client.status).to.equal(101)
      for (const response of [1, 2, 3]) {
        client.respond()
        await until(async () => (await bed.written()).length === response)
        expect(await bed.counted('tokens')).to.be.at.least(50 * response)
      }
      client.say(Buffer.of(0x03, 0xe8), 0x8)
      await until(() => client.isEnded)
      const [session] = bed.provider.sessions
      expect(client.bytes.equals(Buffer.concat(session!.sent))).to.equal(true)
      expect(session!.messages.map(String)).to.deep.equal(Array(3).fill('{"type":"response.create"}'))
      const entries = await bed.entries()
      expect(
        entries.map(({ usage, outcome, status }) => [usage?.inputTokens, usage?.outputTokens, outcome, status]),
      ).to.deep.equal([1, 2, 3].map(() => [20, 30, 'complete', 101]))
      expect(entries.map(({ usage }) => usage?.basis)).to.deep.equal(Array(3).fill('reported'))
      expect(new Set(entries.map(({ callId }) => callId)).size).to.equal(1)
      expect(new Set(entries.map(({ id }) => id)).size).to.equal(3)
      expect(entries[0]).to.include({
        model: 'gpt-realtime',
        responseModel: 'gpt-realtime-2026',
        operation: 'realtime',
      })
      expect(await bed.counted('tokens')).to.equal(150)
      expect(await bed.counted('calls')).to.equal(1)
    })
  }

  it('are metered with the official client, which reads what ends them', async () => {
    const bed = await openSessionBed([{ ...TOKENS, quota: 90 }], {
      proxy: { credential: { swap: 'sk-of-the-host' }, unregistered: 'pass' },
    })
    const openai = new OpenAI({ apiKey: 'sk-a-key', baseURL: `http://127.0.0.1:${bed.port}/openai/v1` })
    // The client insists on TLS; what it writes is the same without.
    const options = { createConnection: () => connect(bed.port, '127.0.0.1') }
    const client = new OpenAIRealtimeWS({ model: 'gpt-realtime', options } as never, openai)
    const events: string[] = []
    const errors: string[] = []
    client.on('event', ({ type }) => events.push(type)).on('error', ({ message }) => errors.push(message))
    const closed = once(client.socket, 'close')
    await once(client.socket, 'open')
    client.send({ type: 'response.create' })
    await until(() => events.includes('response.done'))
    client.send({ type: 'response.create' })
    const [code, reason] = (await closed) as [number, Buffer]
    expect(events.filter((type) => type === 'response.done')).to.have.length(2)
    expect(errors.join()).to.include('The quota "tokens" of 90 tokens is used up').and.to.include('insufficient_quota')
    expect(code).to.equal(1008)
    expect(String(reason)).to.include('The quota "tokens" of 90 tokens is used up')
    expect(bed.provider.sessions[0]!.headers.authorization).to.equal('Bearer sk-of-the-host')
  })

  it('of Gemini Live are metered by turn, under the model that their setup names', async () => {
    const ofModel = { ...TOKENS, name: 'of-model', when: { model: ['gemini-live-*'] } }
    const bed = await openSessionBed([REQUESTS, ofModel])
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    client.say({ setup: { model: 'models/gemini-live-2.5-flash' } })
    await until(() => client.messages.length === 1)
    client.say({ client_content: { turns: [], turnComplete: true } })
    await until(async () => (await bed.written()).length === 1)
    client.say({ clientContent: { turns: [], turnComplete: true } })
    await until(async () => (await bed.written()).length === 2)
    client.socket.end()
    const entries = await bed.entries()
    expect(entries.map(({ usage, model, provider }) => [usage?.totalTokens, model, provider])).to.deep.equal(
      [1, 2].map(() => [50, 'gemini-live-2.5-flash', 'gcp.gemini']),
    )
    expect(await bed.counted('of-model')).to.equal(100)
    expect(await bed.counted('calls')).to.equal(1)
    expect(bed.provider.sessions[0]!.url).to.include('?key=sk-a-key')
  })

  it('are closed where the model that they name has no room', async () => {
    const ofModel = { ...REQUESTS, name: 'of-model', quota: 0, when: { model: ['gemini-live-*'] } }
    const bed = await openSessionBed([REQUESTS, ofModel])
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    client.say({ setup: { model: 'publishers/google/models/gemini-live-2.5-flash' } })
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
  })

  describe('whose messages are', () => {
    it('large and binary pass unread', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const audio = Buffer.alloc(3_000_000, 0x7b)
      client.say(audio, 0x2)
      bed.provider.sessions[0]!.send(frameOf(0x2, audio))
      const { sent, messages } = bed.provider.sessions[0]!
      const bytes = sent.reduce((sum, each) => sum + each.length, 0)
      await until(() => client.bytes.length === bytes && messages.length === 1)
      expect(messages[0]!.equals(audio)).to.equal(true)
      client.respond()
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage?.totalTokens).to.equal(50)
    })

    it('a thousand, and cut anywhere, pass byte for byte and are metered once', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const usage = { input_tokens: 30, output_tokens: 40, total_tokens: 70 }
      const frames = [
        ...Array.from({ length: 1_000 }, (_, index) => ({
          type: 'response.output_text.delta',
          delta: `word ${index}`,
        })),
        { type: 'response.done', response: { usage } },
      ].map((message) => frameOf(0x1, Buffer.from(JSON.stringify(message))))
      const bytes = Buffer.concat(frames)
      const [session] = bed.provider.sessions
      for (let at = 0, size = 1; at < bytes.length; at += size) {
        size = 1 + ((at * 7_919) % 331)
        session!.send(bytes.subarray(at, at + size))
        if (at % 13 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage).to.include({ inputTokens: 30, outputTokens: 40 })
      await until(() => client.bytes.equals(Buffer.concat(session!.sent)))
      expect(client.messages).to.have.length(1_002)
    })

    it('longer than what is held are metered all the same', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const usage = { input_tokens: 3, output_tokens: 4, total_tokens: 7 }
      const output = [{ type: 'message', content: [{ type: 'text', text: '"usage":{}'.repeat(60_000) }] }]
      const done = { type: 'response.done', response: { status: 'completed', output, usage } }
      bed.provider.sessions[0]!.send(frameOf(0x1, Buffer.from(JSON.stringify(done))))
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage).to.include({ inputTokens: 3, outputTokens: 4, basis: 'reported' })
      expect(client.isEnded).to.equal(false)
    })

    it('malformed pass, and harm nobody', async () => {
      const bed = await openSessionBed([TOKENS])
      const wrong: readonly Buffer[] = [
        Buffer.of(0xf1, 2, 0x7b, 0x7d),
        Buffer.of(0x80, 1, 0x7b),
        Buffer.of(0x83, 1, 0x7b),
        frameOf(0x1, Buffer.from('{"type":"response.done","response":{"usage":{"input_tokens":"many"}}}')),
        frameOf(0x1, Buffer.from('{"usage":')),
        frameOf(0x1, Buffer.from('null')),
        Buffer.of(0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3),
      ]
      const client = await openSession(bed.port)
      for (const frame of wrong) {
        bed.provider.sessions[0]!.send(frame)
        client.socket.write(masked(frame.length > 10 ? frame : frameOf(0x1, frame)))
      }
      const expected = Buffer.concat(bed.provider.sessions[0]!.sent)
      await until(() => client.bytes.equals(expected))
      client.socket.destroy()
      expect(await bed.entries()).to.have.length(1)
    })
  })
})
