import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Limit, Unit } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { expect } from 'chai'
import express from 'express'
import { closeTestBeds, openTestBed, type TestBed } from './test-bed.ts'

const FORM = '--b\r\nContent-Disposition: form-data; name='
const SPOKEN = `${FORM}"file"; filename="a.wav"\r\n\r\n${'x'.repeat(50_000)}\r\n${FORM}"model"\r\n\r\nwhisper-1\r\n--b--\r\n`
const HEARD = { text: 'Hello!', usage: { type: 'duration', seconds: 37 } }
const RANKED = { results: [], meta: { billed_units: { search_units: 2 } } }
const DRAWN = { created: 1, data: [{ b64_json: 'AAAA' }, { b64_json: 'BBBB' }] }
const DRAWN_BY_TOKENS = { ...DRAWN, usage: { input_tokens: 15, output_tokens: 272, total_tokens: 287 } }

/** What is asked of a provider, what it answers, what that is of two units, and what has no room for it. */
const CALLS = [
  {
    what: 'a transcription by the second',
    path: '/v1/audio/transcriptions',
    body: SPOKEN,
    answer: HEARD,
    used: { seconds: 37, tokens: 0 },
    short: { quota: 59, status: 413, says: /less audio/ },
  },
  {
    what: 'a ranking',
    path: '/v2/rerank',
    body: { model: 'm', query: 'q', documents: ['a'] },
    answer: RANKED,
    used: { searches: 2, tokens: 0 },
    short: { quota: 0, status: 429, says: /of 0 searches is used up/ },
  },
  {
    what: 'pictures',
    path: '/v1/images/generations',
    body: { model: 'm', prompt: 'p', n: 2 },
    answer: DRAWN,
    used: { images: 2, tokens: 0 },
    short: { quota: 1, status: 413, says: /of 1 image is smaller .* Ask for fewer images/ },
  },
  {
    what: 'pictures by tokens',
    path: '/v1/images/generations',
    body: { model: 'm', prompt: 'p', n: 2 },
    answer: DRAWN_BY_TOKENS,
    used: { images: 2, tokens: 287 },
    short: { quota: 1, status: 413, says: /fewer images/ },
  },
] as const

function limitOf(unit: Unit, quota: number): Limit {
  return { name: unit, unit, quota, window: { kind: 'fixed', every: 'day' } }
}

/** An application with limits on tokens and on one more unit, before a provider that always answers the same. */
async function serve(answer: unknown, unit: Unit, quota: number): Promise<{ bed: TestBed; url: string }> {
  const provider = createServer((req, res) => {
    req.resume().on('end', () => res.setHeader('content-type', 'application/json').end(JSON.stringify(answer)))
  }).listen(0, '127.0.0.1')
  await once(provider, 'listening')
  closing.push(() => provider.close().closeAllConnections())
  const limits = [limitOf('tokens', 1_000_000), limitOf(unit, quota)]
  const bed = await openTestBed({ plans: [{ name: 'plan', limits }], defaultPlans: ['plan'] })
  const target = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
  return { bed, url: await bed.serve(express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target }))) }
}

const closing: (() => void)[] = []

describe('what is billed by other units than tokens', () => {
  afterEach(async () => {
    await closeTestBeds()
    for (const close of closing.splice(0)) close()
  })

  for (const { what, path, body, answer, used, short } of CALLS) {
    const [unit] = Object.keys(used) as [keyof typeof used]
    const isForm = typeof body === 'string'
    const headers = {
      authorization: 'Bearer a-key-of-somebody',
      'content-type': isForm ? 'multipart/form-data; boundary=b' : 'application/json',
    }
    const request = { method: 'POST', headers, body: isForm ? body : JSON.stringify(body) }

    it(`${what}: is charged what it has used of each unit, whatever was held`, async () => {
      const { bed, url } = await serve(answer, unit, 100)
      const answered = await fetch(`${url}${path}`, request)
      expect(await answered.json()).to.deep.equal(answer)
      const [entry] = await bed.entries()
      expect(entry?.usage?.[unit as 'images']).to.equal(used[unit])
      const charged = entry!.charges.map((charge) => [charge.unit, charge.actual])
      expect(Object.fromEntries(charged)).to.deep.equal(used)
      expect(await bed.used('tokens', entry!.subject)).to.equal(used.tokens)
    })

    it(`${what}: is refused where its unit has no room, in words for it`, async () => {
      const { bed, url } = await serve(answer, unit, short.quota)
      const answered = await fetch(`${url}${path}`, request)
      expect([answered.status, await bed.entries()]).to.deep.equal([short.status, []])
      expect(await answered.text()).to.match(short.says)
    })
  }
})
