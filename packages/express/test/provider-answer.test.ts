import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { MemoryLedger, type Entry } from '@tallygate/core'
import { llmProxy, quotaMiddleware, type LlmProxyOptions } from '@tallygate/express'
import { expect } from 'chai'
import express from 'express'
import { closeTestBeds, FORWARDERS, HELLO, openTestBed, type TestBed } from './test-bed.ts'

const BODY = '{"usage":{"prompt_tokens":3,"completion_tokens":4}}'
const HEAD = `HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\n`
const WHOLE = `${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY}`
const CHUNKS = `${HEAD}Transfer-Encoding: chunked\r\n\r\na\r\n${BODY.slice(0, 10)}\r\n${(BODY.length - 10).toString(16)}\r\n${BODY.slice(10)}\r\n0\r\n\r\n`

const TOKENS = {
  plans: [{ name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 1e6, window: { kind: 'lifetime' } }] }],
  defaultPlans: ['p'],
} as const

const servers: Server[] = []

/** A provider that answers each request with these pieces, each in a packet of its own, or as a function does. */
async function provider(...pieces: readonly string[] | readonly [(socket: Socket) => void]): Promise<string> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    const [first] = pieces
    const answer = typeof first === 'function' ? first : (): void => void send(socket, pieces as readonly string[])
    socket.setNoDelay(true).on('data', () => answer(socket))
    socket.on('error', () => {})
  })
  servers.push(server)
  server.on('close', () => sockets.forEach((socket) => socket.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function send(socket: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

class LateLedger extends MemoryLedger {
  override async append(entries: readonly Entry[]): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await super.append(entries)
  }
}

/** What a caller gets, to the last byte, who says this version of HTTP and closes. */
async function answerOf(
  bed: TestBed,
  proxy: LlmProxyOptions,
  version = '1.1',
  asked: unknown = HELLO,
): Promise<string> {
  const url = await bed.serve(express().use(quotaMiddleware({ quota: bed.quota }), llmProxy(proxy)))
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const body = JSON.stringify(asked)
  const lines = [`POST /v1/chat/completions HTTP/${version}`, 'Host: t', 'Authorization: Bearer sk-a-key']
  if (version === '1.1') lines.push('Connection: close')
  socket.write([...lines, 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body].join('\r\n'))
  let answer = ''
  for await (const bytes of socket) answer += String(bytes)
  return answer
}

for (const forwarder of FORWARDERS)
  describe(`an answer of a provider, forwarded by ${forwarder}`, () => {
    afterEach(async () => {
      for (const server of servers.splice(0)) server.close()
      await closeTestBeds()
    })

    for (const { comes, pieces } of [
      { comes: 'in one piece with its head', pieces: [WHOLE] },
      { comes: 'after its head', pieces: [WHOLE.slice(0, -BODY.length), BODY] },
      { comes: 'byte by byte', pieces: [WHOLE.slice(0, -BODY.length), ...BODY.split('')] },
      { comes: 'in chunks, all in one piece', pieces: [CHUNKS] },
      {
        comes: 'in chunks that are cut anywhere',
        pieces: [CHUNKS.slice(0, 110), CHUNKS.slice(110, 141), CHUNKS.slice(141)],
      },
    ]) {
      for (const version of ['1.1', '1.0']) {
        it(`that comes ${comes} is whole for a caller of HTTP/${version}, and metered`, async () => {
          const bed = await openTestBed()
          const answer = await answerOf(bed, { target: await provider(...pieces), forwarder }, version)
          expect(answer).to.match(/^HTTP\/1\.1 200 Fine\r\n/)
          const isChunked = /\r\ntransfer-encoding: chunked\r\n/i.test(answer)
          expect(isChunked).to.equal(version === '1.1' && pieces.join('') === CHUNKS)
          const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
          expect(isChunked ? unchunked(body) : body).to.equal(BODY)
          const [entry] = await bed.entries()
          expect(entry!.usage).to.include({ basis: 'reported', inputTokens: 3, outputTokens: 4 })
        })
      }
    }

    it('without a body has none, and leaves the connection to the provider for the next call', async () => {
      const bed = await openTestBed()
      const target = await provider('HTTP/1.1 204 Nothing\r\nX-One: 1\r\n\r\n')
      for (let calls = 0; calls < 2; calls += 1) {
        const answer = await answerOf(bed, { target, forwarder })
        expect(answer)
          .to.match(/^HTTP\/1\.1 204 Nothing\r\n/)
          .and.match(/x-one: 1/i)
          .and.match(/\r\n\r\n$/)
      }
    })

    it('says nothing to callers of the connection to the provider', async () => {
      const bed = await openTestBed()
      const head = 'Connection: close\r\nKeep-Alive: timeout=77\r\nUpgrade: h2c\r\nX-Kept: yes\r\n'
      const answer = await answerOf(bed, {
        target: await provider(WHOLE.replace('Content-Type', `${head}Content-Type`)),
        forwarder,
      })
      expect(answer).to.match(/x-kept: yes/i)
      expect(answer).not.to.match(/timeout=77|upgrade/i)
    })

    for (const version of ['1.1', '1.0']) {
      it(`that announces trailers, which do not go on, is whole for a caller of HTTP/${version}`, async () => {
        const bed = await openTestBed()
        const announced = 'Trailer: X-Sum\r\nContent-Type'
        for (const piece of [WHOLE, CHUNKS.replace(/\r\n$/, 'X-Sum: 1\r\n\r\n')]) {
          const answer = await answerOf(
            bed,
            { target: await provider(piece.replace('Content-Type', announced)), forwarder },
            version,
          )
          expect(answer)
            .to.match(/^HTTP\/1\.1 200 Fine\r\n/)
            .and.not.match(/trailer|x-sum/i)
          expect(answer.replaceAll(/\r\n[\da-f]+\r\n/g, '')).to.include(BODY.slice(10))
        }
      })
    }

    it('that is whole goes on, whatever its provider says after it', async () => {
      const bed = await openTestBed()
      const answer = await answerOf(bed, { target: await provider(`${WHOLE}and more`), forwarder })
      expect(answer)
        .to.match(/^HTTP\/1\.1 200 Fine\r\n/)
        .and.satisfy((text: string) => text.endsWith(`\r\n\r\n${BODY}`))
      const [entry] = await bed.entries()
      expect(entry!.usage).to.include({ basis: 'reported', inputTokens: 3, outputTokens: 4 })
    })

    it('that breaks off at its head leaves nothing of that to the error in its place', async () => {
      // The error waits for its entry; by then, the connection to the provider is long closed.
      const ledger = new LateLedger()
      const bed = await openTestBed({ ledger })
      const broken = `${HEAD}X-Request-Id: theirs\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n`
      const answer = await answerOf(bed, { target: await provider(broken), forwarder })
      expect(answer)
        .to.match(/^HTTP\/1\.1 502 Bad Gateway\r\n/)
        .and.match(/provider_broke_off"\}\}$/)
        .and.not.match(/theirs|chunked/i)
    })

    for (const { has, pieces } of [
      { has: 'a status that is none', pieces: [WHOLE.replace('200', '099')] },
      { has: 'a status beyond all', pieces: [WHOLE.replace('200', '1000')] },
      { has: 'control characters in its status', pieces: [WHOLE.replace('Fine', 'F\x01ne')] },
      { has: 'letters of another alphabet in its status', pieces: [WHOLE.replace('Fine', 'Größe 好')] },
      {
        has: 'control characters in a header',
        pieces: [WHOLE.replace('Content-Type', 'X-Odd: a\x01b\r\nContent-Type')],
      },
      {
        has: 'letters of another alphabet in a header',
        pieces: [WHOLE.replace('Content-Type', 'X-Odd: 好\r\nContent-Type')],
      },
      { has: 'no head at all', pieces: ['hello\r\n\r\n'] },
      { has: 'two lengths', pieces: [WHOLE.replace('Content-Type', 'Content-Length: 3\r\nContent-Type')] },
      {
        has: 'a switch of protocols that nobody asked for',
        pieces: ['HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'],
      },
    ]) {
      it(`that has ${has} is answered, and harms nobody else`, async () => {
        const bed = await openTestBed()
        const answer = await answerOf(bed, { target: await provider(...pieces), forwarder })
        expect(answer).to.match(/^HTTP\/1\.1 (?:200|502) /)
        expect(await bed.entries()).to.have.length(1)
      })
    }

    for (const { has, piece } of [
      { has: 'a length', piece: `${HEAD}X-Request-Id: theirs\r\nX-Theirs: 1\r\nContent-Length: 9\r\n\r\n` },
      { has: 'chunks', piece: CHUNKS.slice(0, CHUNKS.indexOf('a\r\n{')) },
      { has: 'chunks, of which one has a length', piece: CHUNKS.slice(0, CHUNKS.indexOf('{')) },
      { has: 'events', piece: `HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n` },
      { has: 'packed bytes', piece: `${HEAD}Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\n` },
    ]) {
      for (const { ends, by } of [
        { ends: 'at once', by: (socket: Socket) => void socket.end(piece) },
        {
          ends: 'a little later',
          by: (socket: Socket) => void socket.write(piece, () => setTimeout(() => socket.end(), 20)),
        },
        {
          ends: 'with a reset',
          by: (socket: Socket) => void socket.write(piece, () => setTimeout(() => socket.resetAndDestroy(), 20)),
        },
      ]) {
        it(`that has ${has}, and breaks off behind its head ${ends}, gives way to an error that is whole`, async () => {
          // The error waits for its entry, and the end of the answer for nothing.
          const ledger = new LateLedger()
          const bed = await openTestBed({ ...TOKENS, ledger })
          const answer = await answerOf(bed, { target: await provider(by), forwarder })
          expect(answer)
            .to.match(/^HTTP\/1\.1 502 Bad Gateway\r\n/)
            .and.not.match(/theirs|chunked|gzip|event-stream/i)
          const [head, body] = answer.split('\r\n\r\n')
          expect(JSON.parse(body!).error).to.include({ code: 'provider_broke_off' })
          expect(head).to.match(new RegExp(`content-length: ${body!.length}$`, 'im'))
          await bed.quota.drain()
          const entries = await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
          expect(entries.map(({ outcome, usage }) => [outcome, usage])).to.deep.equal([['failed', undefined]])
          expect(entries[0]!.charges.map(({ actual }) => actual)).to.deep.equal([0])
          expect(bed.logged).to.have.length(1)
        })
      }
    }

    it('that breaks off behind its first bytes breaks off for its caller, though none of them have gone on', async () => {
      const bed = await openTestBed()
      const begun = `HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: {"cho`
      for (const by of [
        (socket: Socket) => void socket.end(begun),
        (socket: Socket) => void socket.write(begun, () => setTimeout(() => socket.resetAndDestroy(), 20)),
      ]) {
        expect(
          await answerOf(bed, { target: await provider(by), forwarder }, '1.1', { ...HELLO, stream: true }),
        ).to.equal('')
      }
      expect((await bed.entries()).map(({ outcome }) => outcome)).to.deep.equal(['failed', 'failed'])
      expect(bed.logged).to.deep.equal([])
    })

    it('that breaks off breaks off for its caller', async () => {
      const bed = await openTestBed()
      const url = await bed.serve(
        express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: await breaking(), forwarder })),
      )
      const error = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer sk-a-key', 'content-type': 'application/json' },
        body: JSON.stringify(HELLO),
      })
        .then((answer) => answer.text())
        .catch((cause: unknown) => cause)
      expect(error).to.be.an('error')
      const [entry] = await bed.entries()
      expect(entry!.outcome).to.equal('failed')
    })
  })

/** A provider that closes the connection before the end of its answer. */
async function breaking(): Promise<string> {
  const server = createServer((socket) => socket.on('data', () => socket.end(WHOLE.slice(0, -5))).on('error', () => {}))
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function unchunked(body: string): string {
  let text = ''
  for (let at = 0; ;) {
    const end = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.slice(at, end), 16)
    if (size === 0) return text
    text += body.slice(end + 2, end + 2 + size)
    at = end + 2 + size + 2
  }
}
