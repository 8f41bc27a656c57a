import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { Usage, UsageEntry } from '@tallygate/core'
import { matchAdapter, type ReportedUsage } from '@tallygate/metering'
import { expect } from 'chai'
import type { EndpointAnswer } from '../../metering/test/answer-bytes.ts'
import { EVERY_ANSWER } from '../../metering/test/every-answer.ts'
import { closeAll, onClose, run, SECRETS, writeConfig } from './running-gateway.ts'

const TYPES = {
  json: 'application/json',
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
  eventstream: 'application/vnd.amazon.eventstream',
  messages: undefined,
}
/** Figures of an entry by the names that providers' are known by. */
const FIGURES: Partial<Record<keyof ReportedUsage, keyof Usage>> = {
  input: 'inputTokens',
  output: 'outputTokens',
  cacheRead: 'cacheReadTokens',
  cacheWrite: 'cacheWriteTokens',
  cacheWrite1h: 'cacheWrite1hTokens',
  reasoning: 'reasoningTokens',
  audioInput: 'audioInputTokens',
  imageInput: 'imageInputTokens',
  audioOutput: 'audioOutputTokens',
  imageOutput: 'imageOutputTokens',
  seconds: 'seconds',
  images: 'images',
  searches: 'searches',
}
const REQUEST = {
  model: 'a-model',
  messages: [{ role: 'user', content: 'Hello!' }],
  stream_options: { include_usage: true },
}

/** Answers with what it is given, in pieces that end anywhere. */
async function serve(answer: () => EndpointAnswer): Promise<string> {
  const server: Server = createServer((req, res) => {
    req.resume().on('end', () => {
      const { framing, headers, body } = answer()
      res.writeHead(200, { 'content-type': TYPES[framing], ...headers })
      void (async () => {
        for (let at = 0, size = 1; at < body.length; at += size, size = 1 + ((at * 7_919) % 97)) {
          res.write(body.subarray(at, at + size))
          await turn()
        }
        res.end()
      })()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onClose(() => server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What an entry must say: what the answer states, with all of its runs; whole units. */
function statedBy({ usage, shown }: EndpointAnswer): Partial<Usage> {
  const stated = { ...shown, ...(usage?.runs ?? usage) }
  const figures = Object.entries(FIGURES).map(([name, field]) => [field, stated[name as keyof ReportedUsage]] as const)
  return Object.fromEntries(
    figures.flatMap(([field, figure]) => (typeof figure === 'number' ? [[field, Math.ceil(Math.max(0, figure))]] : [])),
  )
}

describe('the gateway in front of every provider', () => {
  let answer: EndpointAnswer
  let base: string
  let entryOf: (id: string) => Promise<UsageEntry | undefined>

  before(async () => {
    const target = await serve(() => answer)
    const providers = [...new Set(EVERY_ANSWER.map(({ provider }) => provider))]
    const setting = await writeConfig(
      () => `listen: { port: 0 }
administration: { port: 0 }
durableWithin: 10s
providers: { ${providers.map((name) => `${name}: { target: '${target}' }`).join(', ')} }
pepper: ${SECRETS.pepper}
log: silent
`,
    )
    const { url, quota } = await run(setting)
    base = url
    entryOf = async (id) => (await quota.ledger.find('default', [id]))[0] as UsageEntry | undefined
  })
  after(closeAll)

  for (const each of EVERY_ANSWER.filter(({ framing }) => framing !== 'messages')) {
    const { provider, method = 'POST', path, operation, framing } = each
    it(`passes ${framing} of ${provider} ${path} byte for byte, and records what it states`, async () => {
      answer = each
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${SECRETS.caller}` }
      const body = method === 'POST' ? JSON.stringify({ ...REQUEST, stream: framing !== 'json' }) : null
      const answered = await fetch(`${base}/${provider}${path}`, { method, headers, body })
      expect([answered.status, Buffer.from(await answered.arrayBuffer())]).to.deep.equal([200, each.body])

      const entry = await entryOf(answered.headers.get('x-request-id')!)
      const match = matchAdapter(method, path, provider)
      expect([match?.adapter.id, entry?.provider]).to.deep.equal(
        match === undefined ? [undefined, undefined] : [operation, provider],
      )
      if (match !== undefined) expect(entry?.usage ?? {}).to.include(statedBy(each))
    })
  }
})
