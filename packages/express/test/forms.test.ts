import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { expect } from 'chai'
import express from 'express'
import { closeTestBeds, openTestBed } from './test-bed.ts'

describe('a request that is a form', () => {
  afterEach(closeTestBeds)

  it('reaches the provider as it was sent, and is metered by its answer', async () => {
    let received = ''
    const provider = createServer((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        received = Buffer.concat(chunks).toString('latin1')
        res.setHeader('content-type', 'application/json')
        res.end('{"text":"Hello!","usage":{"type":"duration","seconds":12}}')
      })
    }).listen(0, '127.0.0.1')
    await once(provider, 'listening')
    try {
      const bed = await openTestBed()
      const app = express()
      const target = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
      app.use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target }))
      const url = await bed.serve(app)
      const file = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256))
      const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
      const body = Buffer.concat([
        Buffer.from(head),
        file,
        Buffer.from('\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'),
      ])
      const headers = { 'content-type': 'multipart/form-data; boundary=b', authorization: 'Bearer k' }
      const answer = await fetch(`${url}/v1/audio/transcriptions`, { method: 'POST', headers, body })
      expect([answer.status, await answer.json()]).to.deep.equal([
        200,
        { text: 'Hello!', usage: { type: 'duration', seconds: 12 } },
      ])
      expect(received).to.equal(body.toString('latin1'))
      const [entry] = await bed.entries()
      expect([entry?.operation, entry?.model]).to.deep.equal(['transcription', 'whisper-1'])
      expect(entry?.usage).to.include({ basis: 'reported', seconds: 12 })
    } finally {
      provider.closeAllConnections()
      provider.close()
    }
  })
})
