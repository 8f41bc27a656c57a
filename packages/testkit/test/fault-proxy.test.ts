import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { startFaultProxy, type FaultProxy } from '@tallygate/testkit'
import { expect } from 'chai'

describe('startFaultProxy', () => {
  let echo: Server
  let proxy: FaultProxy
  const sockets: Socket[] = []

  beforeEach(async () => {
    echo = createServer((socket) => void socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    proxy = await startFaultProxy((echo.address() as AddressInfo).port)
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await proxy.close()
    echo.close()
  })

  async function opened(): Promise<Socket> {
    const socket = connect(proxy.port, '127.0.0.1')
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }

  /** What comes back of a word within a time; empty where nothing does. */
  async function echoed(socket: Socket, word: string, withinMs: number): Promise<string> {
    const echo = new Promise<string>((resolve) => {
      let text = ''
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString()
        if (text === word) resolve(text)
      })
    })
    socket.on('error', () => {}).write(word)
    return Promise.race([echo, pause(withinMs).then(() => '')])
  }

  it('passes everything on, both ways', async () => {
    expect(await echoed(await opened(), 'hello', 2_000)).to.equal('hello')
    expect(proxy.connections).to.equal(1)
  })

  it('down: connections are reset and new ones refused, until it is restored', async () => {
    const socket = await opened()
    const error = once(socket, 'error')
    await proxy.down()
    expect((await error)[0]).to.have.property('code', 'ECONNRESET')
    const refused = connect(proxy.port, '127.0.0.1')
    sockets.push(refused)
    const [reason] = (await once(refused, 'error')) as [Error]
    expect(reason).to.have.property('code', 'ECONNREFUSED')
    await proxy.restore()
    expect(await echoed(await opened(), 'hello', 2_000)).to.equal('hello')
  })

  it('slow: answers come that much later, in order', async () => {
    const socket = await opened()
    proxy.slow(80)
    const begunMs = performance.now()
    expect(await echoed(socket, 'hello', 2_000)).to.equal('hello')
    expect(performance.now() - begunMs).to.be.at.least(79)
    await proxy.restore()
    expect(await echoed(socket, 'again', 2_000)).to.equal('again')
  })

  it('black hole: accepts and says nothing; what was sent arrives when it is restored', async () => {
    const before = await opened()
    proxy.blackHole()
    const during = await opened()
    expect(await echoed(before, 'one', 50)).to.equal('')
    expect(await echoed(during, 'two', 50)).to.equal('')
    const arrived = [once(before, 'data'), once(during, 'data')]
    await proxy.restore()
    const [one, two] = (await Promise.all(arrived)) as [Buffer[], Buffer[]]
    expect([String(one[0]), String(two[0])]).to.deep.equal(['one', 'two'])
  })

  for (const lost of ['requests', 'answers'] as const) {
    it(`half-open: ${lost} are lost for good, and the connection is reset when it is restored`, async () => {
      const socket = await opened()
      proxy.halfOpen(lost)
      expect(await echoed(socket, 'lost', 50)).to.equal('')
      const closed = new Promise((resolve) => socket.once('close', resolve))
      await proxy.restore()
      await closed
      expect(await echoed(await opened(), 'hello', 2_000)).to.equal('hello')
    })
  }

  it('freeze: what is open is dead for good, what is new works', async () => {
    const socket = await opened()
    proxy.freeze()
    expect(await echoed(socket, 'lost', 50)).to.equal('')
    await proxy.restore()
    expect(await echoed(socket, 'lost', 50)).to.equal('')
    expect(await echoed(await opened(), 'hello', 2_000)).to.equal('hello')
  })

  it('reset: once, and new connections work', async () => {
    const socket = await opened()
    const error = once(socket, 'error')
    proxy.reset()
    expect((await error)[0]).to.have.property('code', 'ECONNRESET')
    expect(await echoed(await opened(), 'hello', 2_000)).to.equal('hello')
  })
})

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
