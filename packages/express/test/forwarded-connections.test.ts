import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { llmProxy, quotaMiddleware, type LlmProxyOptions } from '@tallygate/express'
import { expect } from 'chai'
import express, { type RequestHandler } from 'express'
import { closeTestBeds, FORWARDERS, HELLO, openTestBed, type TestBed } from './test-bed.ts'

const BODY = '{"usage":{"prompt_tokens":3,"completion_tokens":4}}'
const WHOLE = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
const CHAT = JSON.stringify(HELLO)

interface Provider {
  readonly url: string
  /** All its connections, also those that are closed. */
  readonly connections: Socket[]
  /** What it was sent. */
  readonly got: string[]
}

const servers: Server[] = []

/** A provider that does this when the first bytes of a request are there. */
async function provider(answer: (socket: Socket) => unknown): Promise<Provider> {
  const connections: Socket[] = []
  const got: string[] = []
  const server = createServer((socket) => {
    connections.push(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1')
      got.push(text)
      if (/ HTTP\/1\.1\r\n/.test(text)) answer(socket)
    })
  })
  servers.push(server.on('close', () => connections.forEach((socket) => socket.destroy())))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections, got }
}

async function served(bed: TestBed, options: LlmProxyOptions, before: RequestHandler[] = []): Promise<number> {
  const proxy = llmProxy({ unmetered: 'flag', ...options })
  const url = await bed.serve(express().use(...before, quotaMiddleware({ quota: bed.quota }), proxy))
  return Number(new URL(url).port)
}

/** A caller that has sent this, and what it has got. */
class Caller {
  readonly socket: Socket
  text = ''

  constructor(port: number, request: string) {
    this.socket = connect(port, '127.0.0.1').on('error', () => {})
    this.socket.on('data', (bytes) => (this.text += bytes.toString('latin1')))
    this.socket.write(request)
  }

  /** Resolves with all of it, when the connection is closed. */
  async answer(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close')
    return this.text
  }
}

function request(start = 'POST /v1/chat/completions', headers = '', body = CHAT): string {
  const head = `${start} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-a-key\r\nContent-Type: application/json\r\n`
  return `${head}${headers}Content-Length: ${body.length}\r\n\r\n${body}`
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(5)
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

const CLOSE = 'Connection: close\r\n'

for (const forwarder of FORWARDERS)
  describe(`connections to a provider, forwarded by ${forwarder}`, () => {
    afterEach(async () => {
      for (const server of servers.splice(0)) server.close()
      await closeTestBeds()
    })

    for (const { framing, head } of [
      { framing: 'that ends with its connection', head: '' },
      { framing: 'that is shorter than it says', head: 'Content-Length: 10\r\n' },
    ]) {
      for (const ending of ['ends', 'resets'] as const) {
        it(`an answer ${framing}, whose provider ${ending} it while the caller is behind, harms nobody else`, async () => {
          const bed = await openTestBed()
          const held: express.Response[] = []
          const { url } = await provider(async (socket) => {
            socket.write(`HTTP/1.1 200 OK\r\n${CLOSE}${head}\r\n`)
            for (let pieces = 0; pieces < 3; pieces += 1) {
              await pause(20)
              socket.write('abc')
            }
            await pause(20)
            if (ending === 'ends') socket.end()
            else socket.resetAndDestroy()
          })
          const port = await served(bed, { target: url, forwarder }, [
            (_req, res, next) => {
              const write = res.write.bind(res) as (bytes: Buffer) => boolean
              res.write = ((bytes: Buffer) => {
                write(bytes)
                held.push(res)
                return false
              }) as typeof res.write
              next()
            },
          ])
          const caller = new Caller(port, request(undefined, CLOSE))
          await pause(150)
          for (let drains = 0; drains < 5; drains += 1) {
            held[0]!.emit('drain')
            await pause(20)
          }
          const text = await caller.answer()
          const isWhole = ending === 'ends' && head === ''
          if (isWhole) expect(text.replaceAll(/\r\n(?:[\da-f]+\r\n)?/g, '')).to.match(/abcabcabc0?$/)
          const [entry] = await bed.entries()
          expect(entry!.outcome).to.equal(isWhole ? 'complete' : 'failed')
        })
      }
    }

    it('a reset is not the end of an answer that ends with its connection', async () => {
      const bed = await openTestBed()
      const { url } = await provider(async (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\nabc')
        await pause(30)
        socket.resetAndDestroy()
      })
      const caller = new Caller(await served(bed, { target: url, forwarder }), request(undefined, CLOSE))
      expect(await caller.answer()).not.to.match(/\r\n0\r\n\r\n$/)
      expect((await bed.entries())[0]!.outcome).to.equal('failed')
    })

    it('a caller that hangs up costs no connection beside its own', async () => {
      const bed = await openTestBed()
      const { url, connections, got } = await provider(() => {})
      const caller = new Caller(await served(bed, { target: url, forwarder }), request())
      await until(() => got.length > 0)
      caller.socket.destroy()
      await until(() => connections[0]!.closed)
      await pause(100)
      expect(connections).to.have.length(1)
    })

    it('callers that hang up while they wait for a connection leave it to the next', async () => {
      const bed = await openTestBed()
      const { url, connections, got } = await provider((socket) => setTimeout(() => socket.write(WHOLE), 200))
      const port = await served(bed, { target: url, forwarder, maxSockets: 1 })
      const first = new Caller(port, request(undefined, CLOSE))
      await until(() => got.length > 0)
      const gone = [new Caller(port, request()), new Caller(port, request())]
      await pause(50)
      for (const { socket } of gone) socket.destroy()
      const last = new Caller(port, request(undefined, CLOSE))
      expect([await first.answer(), await last.answer()].every((text) => text.endsWith(BODY))).to.equal(true)
      expect(connections).to.have.length(1)
      expect((await bed.entries()).map(({ outcome }) => outcome).toSorted()).to.deep.equal([
        'aborted',
        'aborted',
        'complete',
        'complete',
      ])
    })

    it('a caller that reads nothing for too long is given up, and its provider with it', async () => {
      const bed = await openTestBed()
      const { url, connections } = await provider((socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        const flood = (): unknown => !socket.destroyed && socket.write(Buffer.alloc(262_144), flood)
        flood()
      })
      const caller = new Caller(await served(bed, { target: url, forwarder, timeoutMs: 500 }), request())
      caller.socket.pause()
      await until(() => connections.some(({ closed }) => closed))
      caller.socket.destroy()
      expect(await bed.entries()).to.have.length(1)
    })

    it('after an answer that came before the end of an upload, the caller is served on', async () => {
      const bed = await openTestBed()
      const { url } = await provider((socket) => socket.write('HTTP/1.1 413 Much\r\nContent-Length: 2\r\n\r\nno'))
      const port = await served(bed, { target: url, forwarder })
      const upload = request('POST /v1/files', '', 'x'.repeat(1_000_000))
      const caller = new Caller(port, upload.slice(0, 1_000))
      await until(() => caller.text.endsWith('no'))
      caller.socket.write(upload.slice(1_000))
      caller.socket.write(request('GET /v1/models', CLOSE, ''))
      expect((await caller.answer()).match(/HTTP\/1\.1 413/g)).to.have.length(2)
    })

    for (const status of [204, 304]) {
      it(`a ${status} that states a length has no body, and is no failure`, async () => {
        const bed = await openTestBed()
        const { url } = await provider((socket) => socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 50\r\n\r\n`))
        const caller = new Caller(await served(bed, { target: url, forwarder }), request('GET /v1/models', CLOSE, ''))
        expect(await caller.answer())
          .to.match(new RegExp(`^HTTP/1\\.1 ${status} `))
          .and.match(/\r\n\r\n$/)
      })
    }

    it('of headers that an answer has once, the first counts', async () => {
      const bed = await openTestBed()
      const twice = ['Server', 'Age', 'Expires', 'Last-Modified'].map((name) => `${name}: 1\r\n${name}: 2\r\n`).join('')
      const { url } = await provider((socket) => socket.write(WHOLE.replace('Content-Type', `${twice}Content-Type`)))
      const caller = new Caller(await served(bed, { target: url, forwarder }), request(undefined, CLOSE))
      const text = await caller.answer()
      for (const name of ['server', 'age', 'expires', 'last-modified'])
        expect(text).to.match(new RegExp(`\r\n${name}: 1\r\n`, 'i'))
    })

    it('headers that are added take the place of the caller’s, however they are written', async () => {
      const bed = await openTestBed()
      const { url, got } = await provider((socket) => socket.write(WHOLE))
      const headers = { Accept: 'ours', Host: 'provider.example', 'Keep-Alive': 'timeout=9', 'Content-Length': '1' }
      const port = await served(bed, { target: url, forwarder, headers })
      const caller = new Caller(port, request(undefined, `${CLOSE}Accept: theirs\r\n`))
      expect(await caller.answer()).to.match(/^HTTP\/1\.1 200 /)
      const names = got.join('').split('\r\n\r\n')[0]!.toLowerCase().split('\r\n')
      expect(names.filter((line) => /^(?:accept|host|content-length):/.test(line)).toSorted()).to.deep.equal([
        'accept: ours',
        `content-length: ${CHAT.length}`,
        'host: provider.example',
      ])
    })

    it('the time for which a provider may be silent need not be whole', async () => {
      const bed = await openTestBed()
      const { url } = await provider((socket) => socket.write(WHOLE))
      const port = await served(bed, { target: url, forwarder, timeoutMs: 1_500.5 })
      expect(await new Caller(port, request(undefined, CLOSE)).answer()).to.match(/^HTTP\/1\.1 200 /)
    })
  })
