import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { llmProxy, quotaMiddleware, serveSessions } from '@tallygate/express'
import { expect } from 'chai'
import express from 'express'
import { closeSessionBeds, openSession, openSessionBed } from './session-bed.ts'
import { ask, openTestBed, until } from './test-bed.ts'

describe('sessions over WebSocket', () => {
  afterEach(closeSessionBeds)

  it('leave other requests for an upgrade alone', async () => {
    const bed = await openSessionBed()
    const url = `http://127.0.0.1:${bed.port}/openai/v1/chat/completions`
    for (const upgrade of ['h2c', 'websocket']) {
      const { status } = await askRaw(bed.port, upgrade)
      expect(status, upgrade).to.equal(200)
    }
    expect((await ask(url)).status).to.equal(200)
    expect((await bed.entries()).map(({ usage }) => usage?.basis)).to.deep.equal(['reported', 'reported', 'reported'])
  })

  it('leave those without a body alone where Node takes all of them for one, and refuse those with one', async () => {
    const bed = await openSessionBed()
    // As Node did before servers could tell.
    Object.assign(bed.server, { shouldUpgradeCallback: () => true })
    const offer = { authorization: 'Bearer sk-a-key', Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings' }
    const client = await openSession(bed.port, '/openai/v1/models', offer)
    await until(() => client.isEnded)
    expect([client.status, bed.provider.requests.length]).to.deep.equal([404, 1])
    expect((await askRaw(bed.port, 'h2c')).status).to.equal(400)
    expect(bed.provider.requests).to.have.length(1)
  })

  it('of others on the same server are left to them', async () => {
    const bed = await openTestBed()
    const app = express()
    app.use('/openai', quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
    const server = createServer(app)
    serveSessions(server, app)
    serveSessions(server, app)
    server.on('upgrade', ({ url }, socket) => {
      if (url === '/chat') socket.end('HTTP/1.1 418 Theirs\r\nContent-Length: 0\r\n\r\n')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const theirs = await openSession(port, '/chat')
    expect(theirs.status).to.equal(418)
    const ours = await openSession(port)
    expect(ours.status).to.equal(101)
    ours.socket.destroy()
    theirs.socket.destroy()
    server.close()
  })
})

/** A chat completion whose request offers another protocol. */
async function askRaw(port: number, upgrade: string): Promise<{ status: number }> {
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] })
  const socket = connect(port, '127.0.0.1')
  const fields = [
    'Host: localhost',
    `Connection: Upgrade${upgrade === 'h2c' ? ', HTTP2-Settings' : ''}, close`,
    `Upgrade: ${upgrade}`,
    'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
    'Authorization: Bearer sk-a-key',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.write(`POST /openai/v1/chat/completions HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`)
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString())).on('error', () => {})
  await until(() => /^HTTP\/1\.1 \d{3}/.test(text))
  socket.destroy()
  return { status: Number(text.slice(9, 12)) }
}
