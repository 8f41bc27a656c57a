import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { tokenFamily } from '@tallygate/metering'
import { expect } from 'chai'
import express from 'express'
import { get_encoding } from 'tiktoken'
import { ask, closeTestBeds, FORWARDERS, HELLO, openTestBed, proxied } from './test-bed.ts'

/** A text whose tokens are easy to lose count of. */
const TEXT = Array.from(
  { length: 60 },
  (_, line) => `Line ${line}: rivers carry ${line * 37} small stones — to the sea, übermorgen, 海へ, {"n": ${line}}.\n`,
).join('')

const ROUTES = [
  {
    api: 'chat completions',
    statesUsage: 'as-asked',
    path: '/v1/chat/completions',
    body: { ...HELLO, stream: true },
    model: 'gpt-4o',
    textOf: (data: string) => find(data, ['choices', 0, 'delta', 'content']),
    problem: /"error":\{[^}]*"message":"The provider broke off/,
  },
  {
    api: 'responses',
    statesUsage: 'as-asked',
    path: '/v1/responses',
    body: { model: 'gpt-4.1', input: 'Hello!', stream: true },
    model: 'gpt-4.1',
    textOf: (data: string) => (data.includes('response.output_text.delta') ? find(data, ['delta']) : ''),
    problem: /event: error\ndata: .*The provider broke off/,
  },
  {
    api: 'messages',
    statesUsage: 'as-asked',
    path: '/v1/messages',
    body: { model: 'claude-sonnet-4-5', max_tokens: 4_000, messages: HELLO.messages, stream: true },
    model: 'claude-sonnet-4-5',
    textOf: (data: string) => find(data, ['delta', 'text']),
    problem: /event: error\ndata: \{"type":"error","error":.*The provider broke off/,
  },
  {
    api: 'streamGenerateContent',
    // Figures of its own stand in each event of Gemini's: here without, so that there is something to count.
    statesUsage: 'never',
    path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
    body: { contents: [{ role: 'user', parts: [{ text: 'Hello!' }] }] },
    model: 'gemini-2.5-flash',
    textOf: (data: string) => find(data, ['candidates', 0, 'content', 'parts', 0, 'text']),
    problem: /data: \{"error":\{"code":502/,
  },
] as const

function find(data: string, path: readonly (string | number)[]): string {
  let value: unknown = JSON.parse(data)
  for (const step of path) value = (value as Record<string | number, unknown> | undefined)?.[step]
  return typeof value === 'string' ? value : ''
}

/** The text in the whole events of a stream, as its reader has it. */
function textIn(stream: string, textOf: (data: string) => string): string {
  const events = stream.split(/\r?\n\r?\n/).slice(0, -1)
  const datas = events.flatMap((event) => event.match(/^data: ?(.*)$/m)?.[1] ?? [])
  return datas.map((data) => (data.startsWith('{') ? textOf(data) : '')).join('')
}

function tokensOf(text: string, model: string): number {
  const encoding = get_encoding('o200k_base')
  const count = encoding.encode(text, [], []).length
  encoding.free()
  const { calibrated } = tokenFamily(model)
  // The encoding puts three digits into a token; some families count them one by one.
  const digits = [...text.matchAll(/\d+/g)].reduce((sum, [run]) => sum + run.length - Math.ceil(run.length / 3), 0)
  return (count + digits * (calibrated?.perDigit ?? 0)) * (calibrated?.output.factor ?? 1)
}

/** Sends a request and hangs up as soon as the answer is so many bytes long. Returns what it got of the body. */
async function hangUpAfter(url: string, path: string, body: unknown, bytes: number): Promise<string> {
  const bodyText = JSON.stringify(body)
  const { hostname, port } = new URL(url)
  const socket: Socket = connect(Number(port), hostname)
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-a-key\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(bodyText)}\r\n\r\n${bodyText}`,
  )
  let received = Buffer.alloc(0)
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer])
    if (received.length >= bytes) break
  }
  socket.destroy()
  return dechunked(received)
}

function dechunked(received: Buffer): string {
  let rest = received.subarray(received.indexOf('\r\n\r\n') + 4)
  const parts: Buffer[] = []
  for (;;) {
    const end = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.toString('latin1', 0, end), 16)
    if (end === -1 || !(size > 0)) return Buffer.concat(parts).toString()
    parts.push(rest.subarray(end + 2, end + 2 + size))
    rest = rest.subarray(end + 4 + size)
  }
}

for (const forwarder of FORWARDERS)
  describe(`a caller that hangs up in the middle of a stream, forwarded by ${forwarder}`, function () {
    afterEach(closeTestBeds)

    for (const { api, path, body, model, textOf, statesUsage } of ROUTES) {
      for (const bytes of [1, 1_200, 6_000, 20_000]) {
        it(`of ${api}, after ${bytes} bytes: is recorded and settled once, with the text that was sent`, async () => {
          const bed = await openTestBed({
            plans: [
              { name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 1e6, window: { kind: 'lifetime' } }] },
            ],
            defaultPlans: ['p'],
          })
          bed.provider.script = { text: TEXT, paceMs: 1, statesUsage, usage: { input: 11 } }
          const url = await proxied(bed, {}, forwarder)
          const sent = await hangUpAfter(url, path, body, bytes)
          const hungUpAtMs = Date.now()
          while (bed.provider.requests[0]!.brokenOffAtMs === undefined) await new Promise(setImmediate)
          expect(bed.provider.requests[0]!.brokenOffAtMs! - hungUpAtMs).to.be.below(500)
          const [entry, ...others] = await bed.entries()
          expect(others).to.deep.equal([])
          expect(entry).to.include({ outcome: 'aborted', streamed: true })
          const written = tokensOf(textIn(sent, textOf), model)
          const { outputTokens = NaN, inputTokens = NaN, basis, confidence } = entry!.usage!
          expect(basis).to.be.oneOf(['estimated', 'reported-partial'])
          // Nothing was sent yet, or by the model's own tokenizer; else by the figures of its family.
          expect(confidence).to.be.oneOf(['high', 'medium', 'low'])
          if (bytes > 1_200 && model === 'gpt-4o') expect(confidence).to.equal('high')
          expect(outputTokens).to.be.within(written * 0.98 - 10, written * 1.02 + 10)
          expect(await bed.used('tokens')).to.equal(inputTokens + outputTokens)
          expect(bed.quota.pending).to.equal(0)
        })
      }
    }

    it('of streamGenerateContent: is charged what the provider had stated by then', async () => {
      const bed = await openTestBed()
      bed.provider.script = { text: TEXT, paceMs: 1, usage: { input: 11, output: 5_000 } }
      const { path, body } = ROUTES[3]
      const sent = await hangUpAfter(await proxied(bed, {}, forwarder), path, body, 6_000)
      const stated = [...sent.matchAll(/"candidatesTokenCount":(\d+)/g)].map(([, figure]) => Number(figure))
      const [entry] = await bed.entries()
      expect(entry).to.deep.include({ outcome: 'aborted' })
      expect(entry!.usage!.outputTokens).to.be.within(stated.at(-1)! * 0.98 - 10, stated.at(-1)! * 1.02 + 10)
    })

    it('before the provider has answered: is recorded once, with its prompt', async () => {
      const bed = await openTestBed()
      bed.provider.script = { delayMs: 10_000 }
      const url = await proxied(bed, {}, forwarder)
      const controller = new AbortController()
      const asked = fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(HELLO),
        signal: controller.signal,
      }).catch(() => 'hung up')
      while (bed.provider.requests.length === 0) await new Promise(setImmediate)
      controller.abort()
      expect(await asked).to.equal('hung up')
      while (bed.provider.requests[0]!.brokenOffAtMs === undefined) await new Promise(setImmediate)
      const entries = await bed.entries()
      expect(entries).to.have.length(1)
      expect(entries[0]!.outcome).to.equal('aborted')
      expect(entries[0]!.usage).to.deep.include({ basis: 'estimated', outputTokens: 0 })
      expect(entries[0]!.usage!.inputTokens).to.be.within(5, 15)
    })

    it('before the request was sent whole: nothing is counted, nothing reaches the provider', async () => {
      const bed = await openTestBed({
        plans: [{ name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 5, window: { kind: 'lifetime' } }] }],
        defaultPlans: ['p'],
      })
      const url = await proxied(bed, {}, forwarder)
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      await once(socket, 'connect')
      socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-a-key\r\n')
      socket.write('Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"model":')
      await new Promise((resolve) => setTimeout(resolve, 20))
      socket.destroy()
      expect((await ask(url)).status).to.equal(200)
      expect(await bed.entries()).to.have.length(1)
      expect(await bed.used('calls')).to.equal(1)
      expect(bed.provider.requests).to.have.length(1)
    })
  })

for (const forwarder of FORWARDERS)
  describe(`a provider that breaks off, forwarded by ${forwarder}`, () => {
    afterEach(closeTestBeds)

    for (const { api, path, body, model, textOf, problem, statesUsage } of ROUTES) {
      it(`in the middle of ${api}: the stream ends with an error of its dialect, and what came is recorded`, async () => {
        const bed = await openTestBed()
        bed.provider.script = { text: TEXT, breakAfter: 90, statesUsage }
        const { text } = await ask((await proxied(bed, {}, forwarder)) + path, { body })
        expect(text).to.match(problem)
        const [entry, ...others] = await bed.entries()
        expect(others).to.deep.equal([])
        expect(entry).to.include({ outcome: 'failed', status: 200 })
        const written = tokensOf(textIn(text.slice(0, text.search(/(event: error|data: \{"error")/)), textOf), model)
        expect(written).to.be.above(50)
        expect(entry!.usage!.outputTokens).to.be.within(written * 0.98 - 10, written * 1.02 + 10)
      })

      it(`before it answers ${api}: a 502 in the dialect, and no token is charged`, async () => {
        const bed = await openTestBed({
          plans: [
            { name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 1e6, window: { kind: 'lifetime' } }] },
          ],
          defaultPlans: ['p'],
        })
        bed.provider.script = { breakAfter: 0 }
        const { status, json } = await ask((await proxied(bed, {}, forwarder)) + path, { body })
        expect(status).to.equal(502)
        expect(JSON.stringify(json)).to.include('The provider broke off').and.not.include('127.0.0.1')
        const [entry] = await bed.entries()
        expect(entry).to.include({ outcome: 'failed' })
        expect(bed.logged).to.deep.equal([
          failureIn(forwarder === 'undici' ? 'other side closed' : 'socket hang up', entry!.id),
        ])
        expect(await bed.used('tokens')).to.equal(0)
      })
    }

    it('with an error of its own: the error goes on as it is, and no token is charged', async () => {
      const bed = await openTestBed({
        plans: [{ name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 1e6, window: { kind: 'lifetime' } }] }],
        defaultPlans: ['p'],
      })
      const url = await proxied(bed, {}, forwarder)
      for (const status of [400, 429, 500]) {
        bed.provider.script = { status }
        expect((await ask(url)).status).to.equal(status)
      }
      expect((await bed.entries()).map(({ outcome, status }) => [outcome, status])).to.deep.equal([
        ['failed', 400],
        ['failed', 429],
        ['failed', 500],
      ])
      expect(await bed.used('tokens')).to.equal(0)
    })

    it('that can not be reached: a 502 in the dialect, nothing recorded, nothing counted', async () => {
      const bed = await openTestBed({
        plans: [{ name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 1, window: { kind: 'lifetime' } }] }],
        defaultPlans: ['p'],
      })
      const app = express().use(
        quotaMiddleware({ quota: bed.quota }),
        llmProxy({ target: 'http://127.0.0.1:1', forwarder }),
      )
      const url = await bed.serve(app)
      const attempts: string[] = []
      for (let time = 0; time < 3; time += 1) {
        const { status, json, headers } = await ask(url)
        expect(status).to.equal(502)
        expect(json.error.message).to.equal('The provider can not be reached.')
        attempts.push(headers.get('x-request-id')!)
        await bed.quota.drain()
      }
      // However many calls there are, the log is not flooded.
      expect(bed.logged).to.deep.equal([failureIn('connect ECONNREFUSED 127.0.0.1:1', attempts[0]!)])
      expect(await bed.entries()).to.deep.equal([])
    })

    it('that says nothing for too long: a 504 in the dialect', async () => {
      const bed = await openTestBed()
      bed.provider.script = { delayMs: 60_000 }
      const app = express()
      app.use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url, timeoutMs: 40, forwarder }))
      const { status, json } = await ask(await bed.serve(app))
      expect(status).to.equal(504)
      expect(json.error.message).to.equal('The provider did not answer in time.')
      const [entry, ...others] = await bed.entries()
      expect([entry!.outcome, ...others]).to.deep.equal(['failed'])
      expect(bed.logged).to.deep.equal([failureIn('it said nothing for too long', entry!.id)])
    })
  })

/** What the log says of a call whose provider, on the loopback interface, did not answer. */
function failureIn(cause: string, attempt: string): string {
  return `a provider did not answer a call ${JSON.stringify({ host: '127.0.0.1', cause, attempt })}`
}
