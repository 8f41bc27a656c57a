import {
  adapterOf,
  dialectOf,
  isFreeRoute,
  matchAdapter,
  matchOperation,
  matchServedBy,
  pathOf,
  providerOf,
} from '@tallygate/metering'
import { expect } from 'chai'

describe('matchAdapter', () => {
  const table: readonly (readonly [path: string, is: string | undefined, named?: Record<string, string>])[] = [
    ['/v1/chat/completions', 'openai-chat'],
    ['/chat/completions', 'openai-chat'],
    ['/v1/chat/completions/', 'openai-chat'],
    ['/v1/chat/completions?api-version=2024-10-21', 'openai-chat'],
    ['/api/v1/chat/completions', 'openai-chat'],
    ['/v1beta/openai/chat/completions', 'openai-chat'],
    ['/openai/deployments/my-gpt/chat/completions?api-version=1', 'openai-chat', { deployment: 'my-gpt' }],
    ['/v1/responses', 'openai-responses'],
    ['/openai/v1/responses?api-version=preview', 'openai-responses'],
    ['/v1/messages', 'anthropic-messages'],
    ['/anthropic/v1/messages?beta=true', 'anthropic-messages'],
    ['/v1beta/models/gemini-2.0-flash:generateContent', 'gemini-generate', { model: 'gemini-2.0-flash' }],
    [
      '/v1/projects/p/locations/l/publishers/google/models/gemini-3:streamGenerateContent?alt=sse',
      'gemini-generate',
      { model: 'gemini-3', stream: 'streamGenerateContent' },
    ],
    ['/v1/completions', 'openai-completions'],
    ['/openai/deployments/my-gpt/completions', 'openai-completions', { deployment: 'my-gpt' }],
    ['/v1/fim/completions', 'openai-completions'],
    ['/v1/agents/completions', 'openai-chat'],
    ['/models/chat/completions', 'openai-chat'],
    ['/v1/embeddings', 'openai-embeddings'],
    ['/openai/deployments/d/embeddings', 'openai-embeddings', { deployment: 'd' }],
    ['/v1/multimodalembeddings', 'openai-embeddings'],
    ['/v1/responses/compact', 'openai-compact'],
    ['/v1/images/generations', 'openai-images'],
    ['/v1/images/edits', 'openai-images'],
    ['/openai/deployments/whisper/audio/translations', 'openai-transcription', { deployment: 'whisper' }],
    ['/v1/audio/speech', 'openai-speech'],
    ['/router/v2/anthropic/v1/messages', 'anthropic-messages'],
    ['/v1/complete', 'anthropic-complete'],
    ['/complete', 'alephalpha-complete'],
    ['/v1beta/interactions', 'gemini-interactions'],
    ['/v1beta/models/gemini-embedding-2:batchEmbedContents', 'gemini-embed', { model: 'gemini-embedding-2' }],
    ['/v1/publishers/google/models/text-embedding-005:predict', 'vertex-predict', { model: 'text-embedding-005' }],
    [
      '/v1/publishers/anthropic/models/claude-opus-4-5:streamRawPredict',
      'vertex-anthropic',
      { model: 'claude-opus-4-5', stream: 'streamRawPredict' },
    ],
    ['/bedrock/model/us.amazon.nova%3A0/converse', 'bedrock-converse', { model: 'us.amazon.nova%3A0' }],
    [
      '/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fm/converse-stream',
      'bedrock-converse',
      { model: 'arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fm', stream: '-stream' },
    ],
    ['/model/m/invoke', 'bedrock-invoke', { model: 'm' }],
    ['/model/m/invoke-with-response-stream', 'bedrock-invoke', { model: 'm', stream: '-with-response-stream' }],
    ['/model/m/count-tokens', undefined],
    ['/v2/chat', 'cohere-chat'],
    ['/v1/generate', 'cohere-generate'],
    ['/v2/embed', 'cohere-embed'],
    ['/rerank', 'rerank'],
    ['/api/chat', 'ollama-chat'],
    ['/api/generate', 'ollama-generate'],
    ['/api/embed', 'ollama-embed'],
    ['/generate_stream', 'tgi-generate', { stream: '_stream' }],
    ['/things/generate', undefined],
    ['/completion', 'llamacpp-completion'],
    ['/ml/v1/text/generation_stream', 'watsonx-generation', { stream: '_stream' }],
    ['/ml/v1/text/chat', 'watsonx-chat'],
    ['/api/v2/cortex/inference:complete', 'snowflake-complete'],
    ['/v1/models/meta/llama-3/predictions', 'replicate-predictions', { model: 'meta/llama-3' }],
    ['/v1/moderations', undefined],
    ['/chat', undefined],
    ['/v1/things/chat', undefined],
    ['/v1/responses/resp_1', undefined],
    ['/v1/responses/resp_1/cancel', undefined],
    ['/v1/responses/input_tokens', undefined],
    ['/v1/messages/count_tokens', undefined],
    ['/v1/messages/batches', undefined],
    ['/v1beta/models/gemini-2.0-flash:countTokens', undefined],
    ['/v1beta/models/gemini-2.0-flash:batchGenerateContent', undefined],
    ['/v1/notchat/completions', undefined],
    ['/v1/xresponses', undefined],
    ['/search?then=/v1/chat/completions', undefined],
    ['/search#/v1/chat/completions', undefined],
    ['', undefined],
  ]
  for (const [path, is, named] of table) {
    it(`takes POST ${path || '(nothing)'} for ${is ?? 'no metered operation'}`, () => {
      const match = matchAdapter('POST', path)
      expect(match?.adapter.id).to.equal(is)
      if (named !== undefined) expect(match?.named).to.include(named)
    })
  }

  const spellings: readonly (readonly [how: string, path: string, is: string])[] = [
    ['escaped letters', '/v1/chat/completion%73', 'openai-chat'],
    ['an escaped slash', '/v1/chat%2Fcompletions', 'openai-chat'],
    ['two slashes', '/v1/chat//completions', 'openai-chat'],
    ['slashes at the end', '/v1/chat/completions//', 'openai-chat'],
    ['dot segments', '/v1/chat/./x/../completions', 'openai-chat'],
    ['escaped dot segments', '/v1/chat/x/%2e%2e/completions', 'openai-chat'],
    ['an escaped colon', '/v1beta/models/gemini-2.0-flash%3AgenerateContent', 'gemini-generate'],
    ['upper case', '/openai/deployments/d/Chat/Completions', 'openai-chat'],
    ['a fragment', '/v1/chat/completions#/v1/messages/count_tokens', 'openai-chat'],
  ]
  for (const [how, path, is] of spellings) {
    it(`is not got around by ${how}`, () => {
      expect(matchAdapter('POST', path)?.adapter.id).to.equal(is)
      expect(isFreeRoute('POST', path)).to.equal(false)
    })
  }

  it('passes over a path that can not be decoded', () => {
    expect(matchAdapter('POST', '/v1/%zz/%')).to.equal(undefined)
    expect(matchAdapter('POST', '/%zz/chat/completions')?.adapter.id).to.equal('openai-chat')
  })

  for (const method of ['GET', 'DELETE', 'PUT', 'OPTIONS']) {
    it(`meters no ${method}`, () => {
      expect(matchAdapter(method, '/v1/chat/completions')).to.equal(undefined)
    })
  }
})

describe('matchAdapter with a provider', () => {
  const table: readonly (readonly [provider: string, path: string, is: string, of: string, asks: boolean])[] = [
    ['api.openai.com', '/v1/chat/completions', 'openai-chat', 'openai', true],
    ['groq', '/openai/v1/chat/completions', 'openai-chat', 'groq', true],
    ['API.MISTRAL.AI:443', '/v1/chat/completions', 'openai-chat', 'mistral_ai', false],
    [
      'us-central1-aiplatform.googleapis.com',
      '/v1/models/m:generateContent',
      'gemini-generate',
      'gcp.vertex_ai',
      false,
    ],
    ['api.writer.com', '/v1/chat', 'openai-chat', 'writer', true],
    ['llm.example', '/v1/chat/completions', 'openai-chat', 'openai', true],
    ['notapi.openai.com.example', '/v1/messages', 'anthropic-messages', 'anthropic', false],
  ]
  for (const [provider, path, is, of, asks] of table) {
    it(`takes ${path} at ${provider} for ${is} of ${of}, ${asks ? 'asked' : 'not asked'} for its usage`, () => {
      const { adapter } = matchAdapter('POST', path, provider)!
      expect([adapter.id, adapter.provider, adapter.injects !== undefined]).to.deep.equal([is, of, asks])
      expect(matchAdapter('POST', path, provider)!.adapter).to.equal(adapter)
    })
  }

  it('takes a path that only one provider has for that one’s, whoever serves it', () => {
    expect(matchAdapter('POST', '/v1/sonar')?.adapter.id).to.equal('openai-chat')
    expect(matchAdapter('POST', '/v1/sonar', 'llm.example')?.adapter.id).to.equal('openai-chat')
    expect(matchAdapter('POST', '/v1/sonar', 'groq')).to.equal(undefined)
    expect(matchAdapter('GET', '/v1/sonar')).to.equal(undefined)
  })

  it('says the same when the provider is known later', () => {
    const match = matchAdapter('POST', '/v1/chat')!
    expect(match.adapter.id).to.equal('cohere-chat')
    expect(matchServedBy(match, '/v1/chat?x=1', 'writer').adapter).to.equal(adapterOf('openai-chat', 'writer'))
    expect(matchServedBy(match, '/v1/chat', 'nobody')).to.equal(match)
  })

  it('keeps no more than a few hosts', () => {
    for (let at = 0; at < 1_000; at += 1) expect(providerOf(`h${at}.example`)).to.equal(undefined)
    expect(providerOf('api.cohere.com')?.id).to.equal('cohere')
  })
})

describe('matchOperation', () => {
  const table: readonly (readonly [method: string, path: string, is: string | undefined])[] = [
    ['POST', '/v1/messages/count_tokens', 'anthropic-count'],
    ['POST', '/v1/responses/input_tokens', 'openai-count'],
    ['GET', '/v1/responses/resp_0a1b', 'openai-response'],
    ['GET', '/v1/responses/other', undefined],
    ['POST', '/v1/responses/resp_0a1b', undefined],
    ['GET', '/v1/realtime?model=m', 'openai-realtime'],
    ['GET', '/openai/realtime?deployment=d', 'openai-realtime'],
    ['GET', '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent', 'gemini-live'],
    ['GET', '/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained', 'gemini-live'],
    ['POST', '/v1/realtime', undefined],
    ['PUT', '/v1/chat/completions', undefined],
  ]
  for (const [method, path, is] of table) {
    it(`takes ${method} ${path} for ${is ?? 'nothing'}`, () => {
      expect(matchOperation(method, path)?.adapter.id).to.equal(is)
    })
  }
})

describe('isFreeRoute', () => {
  const table: readonly (readonly [method: string, path: string, isFree: boolean])[] = [
    ['GET', '/v1/models', true],
    ['HEAD', '/v1/models', true],
    ['OPTIONS', '/v1/chat/completions', true],
    ['DELETE', '/v1/responses/resp_1', true],
    ['POST', '/v1/messages/count_tokens', true],
    ['POST', '/v1/messages/count_tokens/?beta=true', true],
    ['POST', '/v1/responses/input_tokens', true],
    ['POST', '/v1beta/models/gemini-2.0-flash:countTokens?key=k', true],
    ['PUT', '/v1/messages/count_tokens', false],
    ['PATCH', '/v1/models', false],
    ['POST', '/v1/chat/completions%3F/messages/count_tokens', false],
    ['POST', '/v1/moderations', true],
    ['POST', '/model/m/count-tokens', true],
    ['POST', '/v1/messages', false],
    ['POST', '/v1/chat/completions?x=/messages/count_tokens', false],
    ['POST', '/v1/images/generations', false],
  ]
  for (const [method, path, isFree] of table) {
    it(`${isFree ? 'lets' : 'does not let'} ${method} ${path} go for nothing`, () => {
      expect(isFreeRoute(method, path)).to.equal(isFree)
    })
  }
})

describe('dialectOf', () => {
  const table: readonly (readonly [path: string, dialect: string])[] = [
    ['/v1/chat/completions', 'openai'],
    ['/v1/embeddings', 'openai'],
    ['/v1/models', 'openai'],
    ['/v1/models/gpt-4o', 'openai'],
    ['/v1/files', 'openai'],
    ['/openai/deployments/d/embeddings', 'openai'],
    ['/v1beta/openai/embeddings', 'openai'],
    ['/v1/messages', 'anthropic'],
    ['/v1/messages/count_tokens', 'anthropic'],
    ['/v1/complete', 'anthropic'],
    ['/v1beta/models/gemini-2.0-flash:embedContent', 'gemini'],
    ['/v1/models/gemini-2.0-flash:countTokens', 'gemini'],
    ['/v1beta/cachedContents', 'gemini'],
    ['/v1beta/models', 'gemini'],
    ['/usage', 'problem'],
    ['/', 'problem'],
    ['/usage?of=/v1/messages', 'problem'],
    ['/usage#/v1/messages', 'problem'],
  ]
  for (const [path, dialect] of table) {
    it(`answers ${path} in the words of ${dialect}`, () => {
      expect(dialectOf(path)).to.equal(dialect)
    })
  }
})

describe('pathOf', () => {
  const table: readonly (readonly [url: string, path: string])[] = [
    ['/a/b?c=d', '/a/b'],
    ['/a/b#c?d', '/a/b'],
    ['/a/b?c#d', '/a/b'],
    ['/a/b', '/a/b'],
    ['?', ''],
  ]
  for (const [url, path] of table) {
    it(`leaves ${path || 'nothing'} of ${url}`, () => {
      expect(pathOf(url)).to.equal(path)
    })
  }
})
