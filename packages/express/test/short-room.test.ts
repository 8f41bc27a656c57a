import { dollars, PriceBook, type Plan } from '@tallygate/core'
import { keepRawBody, llmProxy, quotaMiddleware } from '@tallygate/express'
import type { ReceivedRequest, Script } from '@tallygate/testkit'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, openTestBed, proxied, type Answered } from './test-bed.ts'

const PROMPT = 'Tell me all there is to know.'
const INPUT_TOKENS = 12

const tokens = (quota: number, more: Partial<Plan['limits'][number]> = {}): Plan['limits'][number] => ({
  name: 'tokens',
  unit: 'tokens',
  quota,
  window: { kind: 'lifetime' },
  ...more,
})
const plan = (limits: Plan['limits'], lower = 16): Plan => ({ name: 'p', limits, onShortRoom: { lower } })

interface Api {
  readonly path: string
  readonly body: (ceiling?: number) => Readonly<Record<string, unknown>>
  readonly ceiling: readonly string[]
}

/** What each API calls its ceiling; without one, the first of those that it knows. */
const APIS: Readonly<Record<string, Api>> = {
  'chat completions': {
    path: '/v1/chat/completions',
    body: (ceiling) => ({
      model: 'gpt-4o',
      ...(ceiling === undefined ? {} : { max_completion_tokens: ceiling }),
      messages: [{ role: 'user', content: PROMPT }],
    }),
    ceiling: ['max_completion_tokens'],
  },
  responses: {
    path: '/v1/responses',
    body: (ceiling) => ({
      model: 'gpt-4o',
      input: PROMPT,
      ...(ceiling === undefined ? {} : { max_output_tokens: ceiling }),
    }),
    ceiling: ['max_output_tokens'],
  },
  messages: {
    path: '/v1/messages',
    body: (ceiling = 8_192) => ({
      model: 'claude-sonnet-4-6',
      max_tokens: ceiling,
      messages: [{ role: 'user', content: PROMPT }],
    }),
    ceiling: ['max_tokens'],
  },
  generateContent: {
    path: '/v1beta/models/gemini-2.5-pro:generateContent',
    body: (ceiling) => ({
      contents: [{ role: 'user', parts: [{ text: PROMPT }] }],
      ...(ceiling === undefined ? {} : { generationConfig: { maxOutputTokens: ceiling } }),
    }),
    ceiling: ['generationConfig', 'maxOutputTokens'],
  },
}

/** A provider that writes as much as it may, and reports it. */
const writesAllItMay =
  (api: Api) =>
  ({ body }: ReceivedRequest): Script => ({
    usage: { input: INPUT_TOKENS, output: ceilingOf(api, body) ?? 100_000 },
  })

function ceilingOf({ ceiling }: Api, body: Buffer): number | undefined {
  return ceiling.reduce<unknown>(
    (value, name) => (Object(value) as Record<string, unknown>)[name],
    JSON.parse(body.toString()),
  ) as number | undefined
}

describe('onShortRoom', () => {
  afterEach(closeTestBeds)

  for (const [name, api] of Object.entries(APIS)) {
    it(`lets ${name} write what is left, where that is less than they ask for`, async () => {
      const bed = await openTestBed({ plans: [plan([tokens(400)])], defaultPlans: ['p'] })
      bed.provider.script = writesAllItMay(api)
      const url = await proxied(bed)
      const answer = await ask(url + api.path, { body: api.body(5_000) })
      expect(answer.status).to.equal(200)
      const { body } = bed.provider.requests[0]!
      const ceiling = ceilingOf(api, body)!
      expect(ceiling).to.be.within(200, 400)
      expect(answer.headers.get('x-tallygate-max-tokens')).to.equal(String(ceiling))
      // Nothing else of it has changed.
      expect(body.toString().replace(`:${ceiling}`, ':5000')).to.equal(JSON.stringify(api.body(5_000)))
      expect(await bed.used('tokens')).to.equal(INPUT_TOKENS + ceiling)
      const [entry] = await bed.entries()
      expect(entry!.usage!.flags).to.deep.equal(['ceiling-lowered'])
    })

    it(`leaves ${name} alone that have room`, async () => {
      const bed = await openTestBed({ plans: [plan([tokens(10_000)])], defaultPlans: ['p'] })
      const url = await proxied(bed)
      const answer = await ask(url + api.path, { body: api.body(5_000) })
      expect(answer.status).to.equal(200)
      expect(bed.provider.requests[0]!.body.toString()).to.equal(JSON.stringify(api.body(5_000)))
      expect(answer.headers.get('x-tallygate-max-tokens')).to.equal(null)
      expect((await bed.entries())[0]!.usage!.flags).to.equal(undefined)
    })

    it(`never lets ${name} at once use more than the quota, counted at the provider`, async () => {
      const quota = 3_000
      const bed = await openTestBed({ plans: [plan([tokens(quota)], 1)], defaultPlans: ['p'] })
      // Slow enough for all to be under way together.
      const script = writesAllItMay(api)
      bed.provider.script = (request) => ({ ...script(request), delayMs: 100 })
      const url = await proxied(bed)
      let answers: Answered[] = []
      for (let round = 0; round < 4; round += 1) {
        const some = Array.from({ length: 12 }, (_, index) => ask(url + api.path, { body: api.body(40 + 97 * index) }))
        answers = [...answers, ...(await Promise.all(some))]
      }
      const used = bed.provider.requests.map(({ body }) => INPUT_TOKENS + ceilingOf(api, body)!)
      const sum = used.reduce((total, each) => total + each, 0)
      expect(sum).to.be.at.most(quota)
      // All but what is too little for one more prompt, judged by its count.
      expect(sum).to.be.above(quota - 60)
      expect(await bed.used('tokens')).to.equal(sum)
      expect(answers.filter(({ status }) => status === 200)).to.have.length(used.length)
      expect(answers.some(({ headers }) => headers.has('x-tallygate-max-tokens'))).to.equal(true)
    })
  }

  for (const unit of ['cost', 'credits'] as const) {
    it(`never lets calls at once use more ${unit} than there is, and leaves little of it`, async () => {
      const api = APIS['chat completions']!
      const price = { input: 1, output: 10, longContext: { above: 100, input: 2, output: 20 } }
      const [quota, perOutput] = unit === 'cost' ? [dollars('0.02'), 10_000] : [2_000, 1]
      const bed = await openTestBed({
        plans: [plan([{ name: 'money', unit, quota, window: { kind: 'lifetime' } }], 1)],
        defaultPlans: ['p'],
        prices: new PriceBook({ creditsPerUnit: 100_000, prices: [{ model: 'gpt-4o', ...price }] }),
      })
      const script = writesAllItMay(api)
      bed.provider.script = (request) => ({ ...script(request), delayMs: 50 })
      const url = await proxied(bed)
      const answers: Answered[] = []
      for (let round = 0; round < 3; round += 1) {
        const some = Array.from({ length: 12 }, (_, index) => ask(url + api.path, { body: api.body(40 + 97 * index) }))
        answers.push(...(await Promise.all(some)))
      }
      const output = bed.provider.requests.reduce((sum, { body }) => sum + ceilingOf(api, body)!, 0)
      const used = await bed.used('money')
      expect(used).to.be.within(quota - 30 * perOutput, quota)
      expect(output * perOutput).to.be.below(used)
      expect(answers.some(({ headers }) => headers.has('x-tallygate-max-tokens'))).to.equal(true)
      expect(answers.at(-1)!.status).to.equal(429)
    })
  }

  it('sets a ceiling where the caller states none and little is left', async () => {
    const api = APIS['chat completions']!
    const bed = await openTestBed({ plans: [plan([tokens(400)])], defaultPlans: ['p'] })
    bed.provider.script = writesAllItMay(api)
    const url = await proxied(bed)
    expect((await ask(url, { body: api.body() })).status).to.equal(200)
    expect(ceilingOf(api, bed.provider.requests[0]!.body)).to.be.within(200, 400)
    expect(await bed.used('tokens')).to.be.at.most(400)
  })

  it('sets none where more is left than some models could be told', async () => {
    const api = APIS['chat completions']!
    const bed = await openTestBed({ plans: [plan([tokens(6_000)])], defaultPlans: ['p'] })
    const url = await proxied(bed)
    await ask(url, { body: api.body() })
    expect(bed.provider.requests[0]!.body.toString()).to.equal(JSON.stringify(api.body()))
  })

  it('shares the room among several answers of one call', async () => {
    const api = APIS['chat completions']!
    const bed = await openTestBed({
      plans: [plan([tokens(100, { unit: 'output-tokens' })])],
      defaultPlans: ['p'],
    })
    const url = await proxied(bed)
    await ask(url, { body: { ...api.body(80), n: 3 } })
    expect(ceilingOf(api, bed.provider.requests[0]!.body)).to.equal(33)
  })

  it('asks a stream for its usage as well', async () => {
    const api = APIS['chat completions']!
    const bed = await openTestBed({
      plans: [plan([tokens(100, { unit: 'output-tokens' })])],
      defaultPlans: ['p'],
    })
    const url = await proxied(bed)
    const { text } = await ask(url, { body: { ...api.body(500), stream: true } })
    expect(JSON.parse(bed.provider.requests[0]!.body.toString())).to.deep.equal({
      ...api.body(100),
      stream: true,
      stream_options: { include_usage: true },
    })
    expect(text).to.not.include('"usage":{')
    expect((await bed.entries())[0]!.usage).to.deep.include({ basis: 'reported', flags: ['ceiling-lowered'] })
  })

  it('changes also a body that the host has parsed', async () => {
    const api = APIS['generateContent']!
    for (const parser of [express.json(), express.json({ verify: keepRawBody })]) {
      const bed = await openTestBed({ plans: [plan([tokens(100, { unit: 'output-tokens' })])], defaultPlans: ['p'] })
      const url = await bed.serve(
        express().use(parser, quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })),
      )
      expect((await ask(url + api.path, { body: api.body(500) })).status).to.equal(200)
      expect(JSON.parse(bed.provider.requests[0]!.body.toString())).to.deep.equal(api.body(100))
    }
  })

  const refused: readonly (readonly [what: string, plans: readonly Plan[], headers?: Record<string, string>])[] = [
    ['whose plan does not say so', [{ name: 'p', limits: [tokens(400)] }]],
    ['for which less than the least is left', [plan([tokens(400, { unit: 'output-tokens' })], 401)]],
    ['that another limit refuses too', [plan([tokens(400), { ...tokens(0), name: 'none', unit: 'requests' }])]],
    ['that a plan beside it refuses', [plan([tokens(400)]), { name: 'q', limits: [tokens(300)] }]],
    ['that is signed', [plan([tokens(400)])], { 'content-digest': 'sha-256=:x:' }],
  ]
  for (const [what, plans, headers = {}] of refused) {
    it(`refuses a call ${what}`, async () => {
      const bed = await openTestBed({ plans, defaultPlans: plans.map(({ name }) => name) })
      const url = await proxied(bed)
      const { status } = await ask(url, { body: APIS['chat completions']!.body(5_000), headers })
      expect(status).to.be.oneOf([413, 429])
      expect(bed.provider.requests).to.have.length(0)
    })
  }

  it('goes by the plan with the most room where one of several is enough', async () => {
    const limits = (quota: number): Plan['limits'] => [tokens(quota, { unit: 'output-tokens' })]
    const plans = [plan(limits(50)), { ...plan(limits(120)), name: 'q' }]
    const bed = await openTestBed({ plans, defaultPlans: ['p', 'q'], combine: 'any' })
    const url = await proxied(bed)
    expect((await ask(url, { body: APIS['chat completions']!.body(5_000) })).status).to.equal(200)
    expect(ceilingOf(APIS['chat completions']!, bed.provider.requests[0]!.body)).to.equal(120)
  })
})
