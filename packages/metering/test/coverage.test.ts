import { COVERAGE, coverageOf, PROVIDERS, type CoverageRow } from '@tallygate/metering'
import { expect } from 'chai'
import { EVERY_ANSWER } from './every-answer.ts'

describe('COVERAGE', () => {
  for (const row of COVERAGE.filter((each) => each.kind === 'metered')) {
    it(`has an answer that proves the meter of ${row.provider} ${row.operation} ${row.method} ${row.path}`, () => {
      expect(proofsOf(row)).to.not.have.length(0)
    })
  }

  it('finds no proof for a route that was added without one', () => {
    const added = { ...COVERAGE.find(({ kind }) => kind === 'metered')!, path: /\/v9\/dreams$/ } as CoverageRow
    expect(proofsOf(added)).to.have.length(0)
  })

  it('names each provider, and no route of one twice', () => {
    expect(new Set(COVERAGE.map(({ provider }) => provider))).to.deep.equal(new Set(PROVIDERS.map(({ id }) => id)))
    const routes = COVERAGE.map(({ provider, method, path }) => `${provider} ${method} ${path}`)
    expect(new Set(routes).size).to.equal(routes.length)
  })
})

/** Answers on this very route that are read as this operation, and state figures where nothing else would be charged. */
function proofsOf(row: CoverageRow): unknown[] {
  if (row.kind !== 'metered') return []
  return EVERY_ANSWER.filter(
    ({ provider, operation, path, method = 'POST', usage, shown }) =>
      provider === row.provider &&
      operation === row.operation &&
      method === row.method &&
      row.path.test(path.replace(/\?.*/, '')) &&
      (usage !== undefined || shown !== undefined || row.counts !== 'nothing' || row.bills[0] === 'calls'),
  )
}

describe('coverageOf', () => {
  const table: readonly (readonly [
    method: string,
    path: string,
    provider: string | undefined,
    is: string | undefined,
  ])[] = [
    ['POST', '/v1/chat/completions', undefined, 'openai-chat of openai'],
    ['POST', '/v1/chat/completions', 'api.groq.com', 'openai-chat of groq'],
    [
      'POST',
      '/openai/deployments/d/chat/completions?api-version=1',
      'x.openai.azure.com',
      'openai-chat of azure.ai.openai',
    ],
    ['POST', '/v1/chat', undefined, 'cohere-chat of cohere'],
    ['POST', '/v1/chat', 'writer', 'openai-chat of writer'],
    ['POST', '/v1/moderations', undefined, 'free'],
    ['POST', '/v1/moderations', 'api.mistral.ai', 'mistral-moderations of mistral_ai'],
    ['POST', '/v1/messages/count_tokens', 'anthropic', 'free'],
    ['POST', '/model/m/count-tokens', 'bedrock-runtime.us-east-1.amazonaws.com', 'free'],
    ['GET', '/v1/models', undefined, 'free'],
    ['GET', '/v1/responses/resp_1', 'openai', 'free'],
    ['DELETE', '/v1/files/f', 'openai', 'free'],
    ['GET', '/v1/realtime?model=gpt-realtime', 'openai', 'openai-realtime of openai'],
    ['POST', '/v1/realtime/calls', 'openai', 'realtime session beside the gateway'],
    ['POST', '/v1/batches', undefined, 'batch of calls'],
    ['POST', '/v1/messages/batches', 'anthropic', 'batch of calls'],
    ['POST', '/v1beta/models/gemini-3:batchGenerateContent', undefined, 'batch of calls'],
    ['POST', '/v1/fine_tuning/jobs', 'openai', 'fine-tuning'],
    ['POST', '/v1/videos', 'openai', 'video generation'],
    ['POST', '/v1/vector_stores', 'openai', 'files kept for search'],
    ['POST', '/v1/threads/t/runs', 'openai', 'run of an assistant'],
    ['POST', '/v1/somewhere/else', 'openai', undefined],
    ['POST', '/v1/somewhere/else', undefined, undefined],
  ]
  for (const [method, path, provider, is] of table) {
    it(`says of ${method} ${path} at ${provider ?? 'any host'}: ${is ?? 'nobody knows it'}`, () => {
      const found = coverageOf(method, path, provider)
      const said =
        found?.kind === 'metered'
          ? `${found.operation.id} of ${found.operation.provider}`
          : found?.kind === 'unmetered'
            ? found.route.what
            : found?.kind
      expect(said).to.equal(is)
    })
  }
})
