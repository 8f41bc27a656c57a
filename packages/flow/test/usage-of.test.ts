import { MemoryLedger, type Usage } from '@tallygate/core'
import { createQuota } from '@tallygate/flow'
import { expect } from 'chai'

const FORM = 'multipart/form-data; boundary=b'
const part = (name: string, value: string): string =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
const AUDIO = `${part('file"; filename="a.wav', 'RIFF'.repeat(50_000))}${part('model', 'whisper-1')}--b--\r\n`
const PLANS = {
  plans: [
    { name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 50_000, window: { kind: 'lifetime' } }] },
  ] as const,
  defaultPlans: ['p'],
}

interface Asked {
  readonly url: string
  readonly body: string
  readonly type?: string
  readonly provider?: string
}

/** Leads a call and its answer through a quota. Returns what the entry says was used. */
async function usageOf(
  { url, body, type = 'application/json', provider }: Asked,
  answered: unknown,
): Promise<Usage | undefined> {
  const ledger = new MemoryLedger()
  const logger = { warn: () => {}, error: () => {} }
  const quota = createQuota({ pepper: 'a pepper for tests, long enough to be one', ledger, logger, ...PLANS })
  try {
    const call = quota.begin({ method: 'POST', url, headers: { 'content-type': type } })
    call.identifyAs({ id: 'k', tenant: 'default', standing: 'registered', dimensions: { tenant: 'default', key: 'k' } })
    await call.resolvePlans()
    call.meter(provider)
    expect((call.read(Buffer.from(body)) ?? (await call.admit()))?.status).to.equal(undefined)
    call.recordAtEnd()
    const answer = call.answer({ push: () => {} })
    answer.head(200, { getHeader: (name) => (name === 'content-type' ? 'application/json' : undefined) })
    await answer.end(Buffer.from(JSON.stringify(answered)))
    await quota.drain(5_000)
    const [entry] = await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
    return entry?.kind === 'usage' ? stated(entry.usage) : undefined
  } finally {
    await quota.close(1_000)
  }
}

function stated(usage: Usage | undefined): Usage | undefined {
  return usage && (JSON.parse(JSON.stringify(usage)) as Usage)
}

describe('the usage of an entry', () => {
  it('has the parts, units and cost that the provider states', async () => {
    const usage = {
      prompt_tokens: 30,
      completion_tokens: 12,
      total_tokens: 42,
      prompt_tokens_details: { audio_tokens: 7 },
      num_search_queries: 2,
      cost: { total_cost: 0.00502 },
      service_tier: 'standard',
    }
    const body = '{"model":"sonar","messages":[]}'
    expect(await usageOf({ url: '/chat/completions', body, provider: 'perplexity' }, { usage })).to.deep.equal({
      basis: 'reported',
      inputTokens: 30,
      outputTokens: 12,
      totalTokens: 42,
      audioInputTokens: 7,
      searches: 2,
      reportedCostNanos: 5_020_000,
      serviceTier: 'standard',
    })
  })

  it('has all runs of an answer whose sums leave some out, and says so', async () => {
    const iterations = [
      { type: 'compaction', input_tokens: 900, output_tokens: 50 },
      { type: 'message', input_tokens: 60, output_tokens: 10 },
    ]
    const body = '{"model":"claude-opus-4-5","max_tokens":99,"messages":[]}'
    const usage = { input_tokens: 60, output_tokens: 10, iterations }
    expect(await usageOf({ url: '/v1/messages', body }, { content: [], usage })).to.deep.include({
      inputTokens: 960,
      outputTokens: 60,
      totalTokens: 1_020,
      flags: ['iterations-summed'],
    })
  })

  it('has the images of an answer that states nothing, and no count of their bytes', async () => {
    const body = '{"model":"dall-e-3","prompt":"a cat","n":2}'
    const answer = { data: [{ b64_json: 'A'.repeat(50_000) }, { url: 'https://images.example/2.png' }] }
    expect(await usageOf({ url: '/v1/images/generations', body }, answer)).to.deep.equal({
      basis: 'reported',
      images: 2,
    })
  })

  it('has images beside the tokens of those that state them', async () => {
    const usage = { input_tokens: 15, output_tokens: 272, total_tokens: 287 }
    const read = await usageOf({ url: '/v1/images/generations', body: '{"prompt":"a cat"}' }, { data: [{}], usage })
    expect(read).to.deep.equal({ basis: 'reported', inputTokens: 15, outputTokens: 272, totalTokens: 287, images: 1 })
  })

  it('has the seconds of a transcription whose request is a form, however large its file', async () => {
    const asked = { url: '/v1/audio/transcriptions', body: AUDIO, type: FORM }
    const byDuration = await usageOf(asked, { text: 'x', usage: { type: 'duration', seconds: 37 } })
    expect(byDuration).to.deep.equal({ basis: 'reported', seconds: 37 })
    expect(await usageOf(asked, { text: 'x', duration: 8.47 })).to.deep.equal({ basis: 'reported', seconds: 9 })
  })

  it('is unknown where an answer of sound or pages says nothing', async () => {
    expect(await usageOf({ url: '/v1/audio/transcriptions', body: AUDIO, type: FORM }, { text: 'x' })).to.equal(
      undefined,
    )
    expect(await usageOf({ url: '/v1/ocr', body: '{"document":{}}' }, { pages: [{ markdown: 'x' }] })).to.equal(
      undefined,
    )
  })

  it('has the searches of a ranking, which states no tokens', async () => {
    const answer = { results: [], meta: { billed_units: { search_units: 3 } } }
    expect(await usageOf({ url: '/v2/rerank', body: '{"query":"q","documents":[]}' }, answer)).to.deep.equal({
      basis: 'reported',
      searches: 3,
    })
  })

  it('goes by the provider that the host names, where its paths mean something else', async () => {
    const answer = { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } }
    const usage = await usageOf({ url: '/v1/chat', body: '{"model":"palmyra"}', provider: 'writer' }, answer)
    expect(usage).to.include({ basis: 'reported', inputTokens: 3, outputTokens: 4 })
  })
})

describe('who serves a call', () => {
  const table: readonly (readonly [named: string | undefined, host: string, provider: string, asks: boolean])[] = [
    [undefined, 'api.groq.com', 'groq', true],
    [undefined, 'api.mistral.ai', 'mistral_ai', false],
    [undefined, 'llm.example', 'openai', true],
    ['ours', 'api.groq.com', 'groq', true],
    ['ours', 'llm.example', 'openai', true],
    ['openai', 'api.groq.com', 'openai', true],
    ['perplexity', 'llm.example', 'perplexity', false],
  ]
  for (const [named, host, provider, asks] of table) {
    it(`is ${provider} at ${host}${named === undefined ? '' : `, named ${named}`}: streams are ${asks ? '' : 'not '}asked`, () => {
      const quota = createQuota({ pepper: 'a pepper for tests, long enough to be one' })
      const call = quota.begin({ method: 'POST', url: '/v1/chat/completions', headers: {} })
      call.meter(named)
      call.read(Buffer.from('{"model":"m","stream":true,"messages":[]}'))
      call.servedAt(host)
      expect(call.metered.match?.adapter.provider).to.equal(provider)
      expect(call.bodyToForward() !== undefined).to.equal(asks)
    })
  }
})

describe('a call that is free elsewhere', () => {
  const of = (provider: string | undefined, host?: string): boolean => {
    const quota = createQuota({ pepper: 'a pepper for tests, long enough to be one' })
    const call = quota.begin({ method: 'POST', url: '/v1/moderations', headers: {} })
    call.meter(provider, host)
    call.servedAt('api.mistral.ai')
    return call.meters
  }

  it('is metered where its provider is known, by name or host, before it is decided on', () => {
    expect(of('mistral')).to.equal(true)
    expect(of('ours', 'api.mistral.ai')).to.equal(true)
    expect(of(undefined, 'api.mistral.ai')).to.equal(true)
  })

  it('stays free where that is known later, or the provider is another', () => {
    expect(of(undefined)).to.equal(false)
    expect(of('openai', 'api.mistral.ai')).to.equal(false)
  })
})

describe('a form', () => {
  const faults: readonly (readonly [what: string, url: string, body: string])[] = [
    ['without an end', '/v1/audio/transcriptions', part('model', 'm')],
    ['with two models', '/v1/audio/transcriptions', `${part('model', 'm')}${part('model', 'n')}--b--\r\n`],
    ['where JSON is asked for', '/v1/chat/completions', `${part('model', 'm')}--b--\r\n`],
  ]
  for (const [what, url, body] of faults) {
    it(`${what} is refused`, () => {
      const quota = createQuota({ pepper: 'a pepper for tests, long enough to be one' })
      const call = quota.begin({ method: 'POST', url, headers: { 'content-type': FORM } })
      expect(call.read(Buffer.from(body))?.status).to.equal(400)
    })
  }
})
