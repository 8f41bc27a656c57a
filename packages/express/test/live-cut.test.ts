import { monotonicClock, type UsageEntry } from '@tallygate/core'
import { fixedWindow, identifyKey, llmProxy, meterUsage, quotaMiddleware, settleUsage } from '@tallygate/express'
import { RedisCounterStore } from '@tallygate/store-redis'
import { startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import express from 'express'
import { AHEAD, ENDLESS, KEY, messages, streaming, QUOTA, tokensOf, under, type Read } from './cut-bed.ts'
import { ask, closeTestBeds, FORWARDERS, openTestBed, until, type TestBed } from './test-bed.ts'

const CHAT = { model: 'gpt-4o', messages, stream: true }

/** Texts of a chat stream, and whether it came to a proper end. */
function readChat(body: string): Read {
  const events = body.split('\n\n').filter((event) => event !== '')
  const isEnded = events.at(-1) === 'data: [DONE]'
  const chunks = events.slice(0, isEnded ? -1 : undefined).map((event) => JSON.parse(event.slice(6)) as Chunk)
  const choices = chunks.flatMap((chunk) => chunk.choices)
  const text = choices.map(({ delta }) => delta.content ?? '').join('')
  return { text, reason: isEnded ? choices.at(-1)!.finish_reason : 'no end' }
}

interface Chunk {
  readonly choices: readonly { delta: { content?: string }; finish_reason: string | null }[]
}

for (const forwarder of FORWARDERS)
  describe(`quotas that streams use up, forwarded by ${forwarder}`, () => {
    afterEach(closeTestBeds)

    it('are passed by no more than the bound, however many streams are under way, and nothing stays held', async () => {
      const quota = 6_000
      const streams = 20
      const bed = await openTestBed(under({ quota, per: [] }))
      const url = await streaming(bed, forwarder)
      const answers = await Promise.all(
        Array.from({ length: streams }, (_, n) => ask(url, { key: `sk-key-${n}`, body: CHAT })),
      )
      const admitted = answers.filter(({ status }) => status === 200).map(({ text }) => readChat(text))
      expect(admitted.length).to.be.above(1)
      for (const { reason } of admitted) expect(reason).to.equal('length')
      const entries = await bed.entries()
      const written = admitted.reduce((sum, { text }) => sum + tokensOf(text), 0)
      const input = entries.reduce((sum, { usage }) => sum + usage!.inputTokens!, 0)
      expect(written + input).to.be.within(quota - 100, quota + admitted.length * AHEAD)
      expect(await bed.used('t', entries[0]!.subject)).to.equal(written + input)
      await until(() => bed.provider.requests.every(({ brokenOffAtMs }) => brokenOffAtMs !== undefined))
      expect(await openHolds(bed, entries)).to.equal(0)
    }).timeout(60_000)

    it('are shared by nodes through Redis, with what each node buys for its streams', async () => {
      const redis = await startRedis()
      const stores = await Promise.all([0, 1].map(() => RedisCounterStore.connect({ url: redis.url })))
      try {
        const quota = 3_000
        const nodes = await Promise.all(
          stores.map((store) => openTestBed({ ...under({ quota, per: [] }), store, clock: monotonicClock })),
        )
        const answers = await Promise.all(
          nodes.map(async (bed, node) => {
            const url = await streaming(bed, forwarder)
            return Promise.all([0, 1, 2].map((n) => ask(url, { key: `sk-key-${node}-${n}`, body: CHAT })))
          }),
        )
        const read = answers.flat().map(({ text }) => readChat(text))
        for (const { reason } of read) expect(reason).to.equal('length')
        const entries = (await Promise.all(nodes.map((bed) => bed.entries()))).flat()
        const used = entries.reduce((sum, { usage }) => sum + usage!.totalTokens!, 0)
        expect(used).to.be.within(quota - 100, quota + read.length * AHEAD)
        expect(await nodes[0]!.used('t', entries[0]!.subject)).to.equal(used)
      } finally {
        await Promise.all(stores.map((store) => store.close()))
        await redis.stop()
      }
    }).timeout(60_000)

    it('let a stream go on that is topped up', async () => {
      const bed = await openTestBed(under())
      const url = await streaming(bed, forwarder, { ...ENDLESS, text: ENDLESS.text.slice(0, 6_000) })
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
        body: JSON.stringify(CHAT),
      })
      const found = await bed.quota.identify({
        headers: { authorization: `Bearer ${KEY}` },
        url: '/v1/chat/completions',
      })
      if (found.outcome === 'refused') throw new Error(found.reason)
      await bed.quota.topUp(found.subject, 'p/t', 5_000)
      expect(readChat(await response.text())).to.deep.equal({
        text: ENDLESS.text.slice(0, 6_000).trimEnd(),
        reason: 'stop',
      })
      const [entry] = await bed.entries()
      expect(entry!.usage!.flags ?? []).to.not.include('cut-at-quota')
      expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
    })

    for (const limit of [{ onStream: 'finish' }, { mode: 'shadow' }, { onTrip: 'flag' }] as const) {
      it(`cut nothing with ${JSON.stringify(limit)}`, async () => {
        const bed = await openTestBed(under({ ...limit, quota: 300 }))
        const url = await streaming(bed, forwarder, { ...ENDLESS, text: ENDLESS.text.slice(0, 4_000) })
        const { text } = await ask(url, { body: CHAT })
        expect(readChat(text)).to.deep.equal({ text: ENDLESS.text.slice(0, 4_000).trimEnd(), reason: 'stop' })
        const [entry] = await bed.entries()
        expect(entry!.usage!.flags ?? []).to.not.include('cut-at-quota')
        expect(entry!.overage).to.equal('onTrip' in limit)
        expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
        expect(await openHolds(bed, [entry!])).to.equal(0)
      })
    }

    it('cut what a handler writes by itself: its writes go nowhere, and it hears that the response is closed', async () => {
      const bed = await openTestBed(under())
      let wrote = 0
      let isClosed = false
      const app = express().post('/v1/chat/completions', quotaMiddleware({ quota: bed.quota }), (_req, res) => {
        res.once('close', () => {
          isClosed = true
        })
        res.setHeader('content-type', 'text/event-stream')
        const write = (): void => {
          if (isClosed) return
          for (let event = 0; event < 20; event += 1) {
            const chunk = {
              id: 'own',
              object: 'chat.completion.chunk',
              created: 1,
              model: 'own',
              choices: [] as unknown[],
            }
            chunk.choices = [{ index: 0, delta: { content: ' word' }, finish_reason: null }]
            res.write(`data: ${JSON.stringify(chunk)}\n\n`)
            wrote += 1
          }
          setTimeout(write, 5)
        }
        write()
      })
      const { text } = await ask(await bed.serve(app), { body: CHAT })
      const read = readChat(text)
      expect(read.reason).to.equal('length')
      expect(isClosed).to.equal(true)
      expect(wrote).to.be.above(QUOTA / 2)
      const [entry] = await bed.entries()
      expect(entry!.usage).to.deep.include({ outputTokens: tokensOf(read.text) })
      expect(entry!.usage!.totalTokens).to.be.within(QUOTA - 10, QUOTA + AHEAD)
    })

    it('are counted once where the caller hangs up just when it is cut', async () => {
      const bed = await openTestBed(under())
      const url = await streaming(bed, forwarder)
      await Promise.all(
        [0, 40, 80, 90, 95, 100].map(async (share, n) => {
          const abort = new AbortController()
          const response = await fetch(`${url}/v1/chat/completions`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}-${n}` },
            body: JSON.stringify(CHAT),
            signal: abort.signal,
          })
          let text = ''
          try {
            for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
              text += bytes
              if (tokensOf(readChatSoFar(text)) >= (QUOTA * share) / 100) abort.abort()
            }
          } catch {
            // It was hung up.
          }
        }),
      )
      await until(() => bed.provider.requests.every(({ brokenOffAtMs }) => brokenOffAtMs !== undefined))
      const entries = await bed.entries()
      expect(entries).to.have.length(6)
      for (const entry of entries) {
        expect(entry.outcome).to.be.oneOf(['complete', 'aborted'])
        expect(entry.usage!.totalTokens).to.be.at.most(QUOTA + AHEAD)
        expect(await bed.used('t', entry.subject)).to.equal(entry.usage!.totalTokens)
      }
      expect(await openHolds(bed, entries)).to.equal(0)
    })

    it('cut an array of JSON behind a whole document, and a compressed stream in plain bytes', async () => {
      const bed = await openTestBed(under())
      const url = await streaming(bed, forwarder)
      const body = {
        contents: [{ role: 'user', parts: [{ text: 'Hello!' }] }],
        generationConfig: { maxOutputTokens: 50 },
      }
      const path = '/v1beta/models/gemini-2.5-flash:streamGenerateContent'
      const { json } = await ask(`${url}${path}`, { headers: { 'x-goog-api-key': KEY }, key: '', body })
      expect(json.at(-1).candidates[0].finishReason).to.equal('MAX_TOKENS')
      expect(json.length).to.be.above(20)

      bed.provider.script = { text: ENDLESS.text, encoding: 'gzip' }
      const packed = await ask(url, { key: 'sk-another', body: CHAT })
      const { text, reason } = readChat(packed.text)
      expect(reason).to.equal('length')
      expect(tokensOf(text)).to.be.within(QUOTA - 20, QUOTA + AHEAD)
    })

    it('cut at the quota what may reserve more than that', async () => {
      const bed = await openTestBed(under({ trip: 'reached' }))
      const url = await streaming(bed, forwarder)
      const { text } = await ask(url, { body: { ...CHAT, max_tokens: 50_000 } })
      expect(readChat(text).reason).to.equal('length')
      expect(await bed.used('t')).to.be.within(QUOTA - 10, QUOTA + AHEAD)
      expect((await ask(url, { body: CHAT })).status).to.equal(429)
    })

    it('cut for a limiter of its own as well', async () => {
      const bed = await openTestBed()
      bed.provider.script = ENDLESS
      const limiter = fixedWindow({ quota: bed.quota, unit: 'tokens', limit: QUOTA, onStream: 'cut' })
      const url = await bed.serve(
        express().use(
          identifyKey({ quota: bed.quota }),
          limiter,
          meterUsage(),
          settleUsage(),
          llmProxy({ target: bed.provider.url, forwarder }),
        ),
      )
      const { text } = await ask(url, { body: CHAT })
      expect(readChat(text).reason).to.equal('length')
      expect((await bed.entries())[0]!.usage!.totalTokens).to.be.within(QUOTA - 10, QUOTA + AHEAD)
    })

    it('leave answers alone that are no streams', async () => {
      const bed = await openTestBed(under({ quota: 300 }))
      const url = await streaming(bed, forwarder, { text: ENDLESS.text.slice(0, 4_000) })
      const { status, json } = await ask(url, { body: { ...CHAT, stream: false } })
      expect([status, json.choices[0].finish_reason]).to.deep.equal([200, 'stop'])
      expect((await bed.entries())[0]!.usage!.flags ?? []).to.not.include('cut-at-quota')
    })
  })

function readChatSoFar(body: string): string {
  return readChat(body.slice(0, body.lastIndexOf('\n\n') + 2)).text
}

/** Reservations that nobody has settled or given back, of what these calls held and of what they bought. */
async function openHolds(bed: TestBed, entries: readonly UsageEntry[]): Promise<number> {
  let open = 0
  for (const { id, charges } of entries) {
    const { owner } = charges[0]!
    for (const suffix of ['', ...Array.from({ length: 60 }, (_, number) => `+${number}`)]) {
      const state = await bed.store.holdState({ id: `${id}${suffix}`, owner })
      if (state?.state === 'reserved') open += 1
    }
  }
  return open
}
