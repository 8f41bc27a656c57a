import { dialectOf, isFreeRoute, matchAdapter, pathOf } from '@tallygate/metering'
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
    ['/v1/completions', undefined],
    ['/v1/embeddings', undefined],
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
