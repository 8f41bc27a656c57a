import { matchAdapter, parseJsonBody, readRequestFacts, type RequestFacts } from '@tallygate/metering'
import { expect } from 'chai'

const CHAT = '/v1/chat/completions'
const DEPLOYMENT = '/openai/deployments/my%20gpt/chat/completions'
const RESPONSES = '/v1/responses'
const MESSAGES = '/v1/messages'
const GENERATE = '/v1beta/models/gemini-2.0-flash:generateContent'
const LEGACY = '/v1/completions'
const CONVERSE = '/model/us.amazon.nova%3A0/converse'
const INVOKE = '/model/m/invoke-with-response-stream'
const IMAGES = '/v1/images/generations'
const STREAM = '/v1beta/models/gemini-2.0-flash:streamGenerateContent'

describe('readRequestFacts', () => {
  const models: readonly (readonly [path: string, body: string, model: string | undefined])[] = [
    [CHAT, '{"model":"gpt-4o"}', 'gpt-4o'],
    [RESPONSES, '{"model":"gpt-4.1"}', 'gpt-4.1'],
    [MESSAGES, '{"model":"claude-sonnet-4-5"}', 'claude-sonnet-4-5'],
    [GENERATE, '{"model":"another"}', 'gemini-2.0-flash'],
    [DEPLOYMENT, '{}', 'my gpt'],
    // The provider goes by the path and ignores the body: so must the quota.
    [DEPLOYMENT, '{"model":"a-cheaper-one"}', 'my gpt'],
    ['/v1beta/models/gemini%2D2:generateContent', '{}', 'gemini-2'],
    ['/v1beta/models/50%25:generateContent', '{}', '50%'],
    ['/v1beta/models/50%:generateContent', '{}', '50%'],
    [CONVERSE, '{"modelId":"another"}', 'us.amazon.nova:0'],
    ['/ml/v1/text/chat', '{"model_id":"granite"}', 'granite'],
    ['/v1/models/meta/llama-3/predictions', '{"input":{}}', 'meta/llama-3'],
    ['/v1/predictions', '{"model":"m"}', 'm'],
    [CHAT, '{}', undefined],
    [CHAT, '{"model":null}', undefined],
    [CHAT, '{"model":4}', undefined],
    [CHAT, '{"model":["gpt-4o"]}', undefined],
    [CHAT, '{"__proto__":{"model":"gpt-4o"}}', undefined],
    [CHAT, '{"request":{"model":"gpt-4o"}}', undefined],
  ]
  for (const [path, body, model] of models) {
    it(`reads the model ${model ?? '(none)'} out of ${path} with ${body}`, () => {
      expect(factsOf(path, body).model).to.equal(model)
    })
  }

  it('keeps no more than 256 characters of a model', () => {
    expect(factsOf(CHAT, JSON.stringify({ model: 'x'.repeat(300) })).model).to.equal('x'.repeat(256))
  })

  const streams: readonly (readonly [path: string, body: string, isStream: boolean])[] = [
    [CHAT, '{"stream":true}', true],
    [RESPONSES, '{"stream":true}', true],
    [MESSAGES, '{"stream":true}', true],
    [STREAM, '{}', true],
    [STREAM, '{"stream":false}', true],
    [INVOKE, '{}', true],
    [CONVERSE, '{"stream":true}', false],
    ['/v1/audio/speech', '{"stream_format":"sse"}', true],
    ['/v1/audio/speech', '{"stream_format":"audio"}', false],
    [GENERATE, '{"stream":true}', false],
    [CHAT, '{"stream":false}', false],
    [CHAT, '{"stream":"true"}', false],
    [CHAT, '{"stream":1}', false],
    [CHAT, '{"stream":null}', false],
    [CHAT, '{}', false],
    [CHAT, '{"__proto__":{"stream":true}}', false],
  ]
  for (const [path, body, isStream] of streams) {
    it(`takes ${path} with ${body} for ${isStream ? 'a stream' : 'one document'}`, () => {
      expect(factsOf(path, body).stream).to.equal(isStream)
    })
  }

  const ceilings: readonly (readonly [path: string, body: string, ceiling: number | undefined])[] = [
    [CHAT, '{"max_tokens":100}', 100],
    [CHAT, '{"max_completion_tokens":200}', 200],
    [CHAT, '{"max_tokens":100,"max_completion_tokens":200}', 200],
    [CHAT, '{"max_tokens":300,"max_completion_tokens":200}', 300],
    [CHAT, '{"max_tokens":100,"n":4}', 400],
    [CHAT, '{"n":4}', undefined],
    [CHAT, '{"max_tokens":100,"n":0}', 100],
    [CHAT, '{"max_tokens":100,"n":-3}', 100],
    [CHAT, '{"max_tokens":100,"n":"4"}', 400],
    [CHAT, '{"max_tokens":"100","n":" 4.0 "}', 400],
    [CHAT, '{"max_tokens":100,"n":"four"}', 100],
    [CHAT, '{"max_tokens":100,"n":"0x4"}', 100],
    [CHAT, '{"max_tokens":100,"n":""}', 100],
    [CHAT, '{"max_tokens":100,"n":["4"]}', 100],
    [CHAT, '{"max_tokens":100,"n":1.5}', 200],
    [CHAT, '{"max_tokens":10.2}', 11],
    [CHAT, '{"max_tokens":0}', undefined],
    [CHAT, '{"max_tokens":-5}', undefined],
    [CHAT, '{"max_tokens":null}', undefined],
    [CHAT, '{"max_tokens":"100"}', 100],
    [CHAT, '{"max_tokens":"-100"}', undefined],
    [CHAT, '{"max_tokens":{"value":1}}', undefined],
    [CHAT, '{"max_tokens":1e999}', undefined],
    [CHAT, '{"max_tokens":-1,"max_completion_tokens":7}', 7],
    [CHAT, '{"max_output_tokens":100}', undefined],
    [CHAT, '{"__proto__":{"max_tokens":5}}', undefined],
    [RESPONSES, '{"max_output_tokens":300}', 300],
    [RESPONSES, '{"max_output_tokens":300,"n":4}', 300],
    [RESPONSES, '{"max_tokens":300}', undefined],
    [MESSAGES, '{"max_tokens":64}', 64],
    [GENERATE, '{"generationConfig":{"maxOutputTokens":50}}', 50],
    [GENERATE, '{"generation_config":{"max_output_tokens":50}}', 50],
    [GENERATE, '{"generationConfig":{"maxOutputTokens":50,"candidateCount":3}}', 150],
    [GENERATE, '{"generationConfig":[{"maxOutputTokens":50}]}', undefined],
    [GENERATE, '{"generationConfig":"maxOutputTokens"}', undefined],
    [GENERATE, '{"maxOutputTokens":50}', undefined],
    [LEGACY, '{"max_tokens":10,"prompt":"one"}', 10],
    [LEGACY, '{"max_tokens":10,"prompt":["one","two","three"]}', 30],
    [LEGACY, '{"max_tokens":10,"prompt":[1,2,3]}', 10],
    [LEGACY, '{"max_tokens":10,"prompt":[[1],[2]]}', 20],
    [LEGACY, '{"max_tokens":10,"prompt":[]}', 10],
    [LEGACY, '{"max_tokens":10,"n":2,"best_of":5,"prompt":["one","two"]}', 100],
    [CONVERSE, '{"inferenceConfig":{"maxTokens":70}}', 70],
    [INVOKE, '{"max_gen_len":9}', 9],
    [INVOKE, '{"textGenerationConfig":{"maxTokenCount":8}}', 8],
    ['/api/chat', '{"options":{"num_predict":12}}', 12],
    ['/api/chat', '{"options":{"num_predict":-1}}', undefined],
    ['/generate', '{"parameters":{"max_new_tokens":6,"best_of":2}}', 12],
    ['/v1/complete', '{"max_tokens_to_sample":40}', 40],
    ['/v2/chat', '{"max_tokens":33}', 33],
    ['/v1/embeddings', '{"max_tokens":33}', 0],
    ['/v1/rerank', '{}', 0],
    [IMAGES, '{"n":3}', undefined],
  ]
  for (const [path, body, ceiling] of ceilings) {
    it(`reads a ceiling of ${ceiling ?? 'nothing'} out of ${path} with ${body}`, () => {
      expect(factsOf(path, body).outputCeiling).to.equal(ceiling)
    })
  }

  const images: readonly (readonly [path: string, body: string, images: number | undefined])[] = [
    [IMAGES, '{"n":3}', 3],
    [IMAGES, '{}', 1],
    [IMAGES, '{"n":"3"}', 3],
    [CHAT, '{"n":3}', undefined],
  ]
  for (const [path, body, count] of images) {
    it(`reads ${count ?? 'no'} images out of ${path} with ${body}`, () => {
      expect(factsOf(path, body).images).to.equal(count)
    })
  }
})

describe('searches of a request', () => {
  const table: readonly (readonly [tools: string, searches: number | undefined])[] = [
    ['[{"type":"web_search_20250305","name":"web_search","max_uses":5}]', 5],
    ['[{"type":"web_search_20250305","max_uses":"5"},{"type":"web_search"}]', 6],
    ['[{"type":"web_search_preview"}]', 1],
    ['[{"type":"custom","name":"web_search","max_uses":5}]', undefined],
    ['[{"name":"web_search"},null,4,["web_search"],{"type":["web_search"]}]', undefined],
    ['{"type":"web_search"}', undefined],
    ['[]', undefined],
  ]
  for (const [tools, searches] of table)
    it(`are ${searches ?? 'none'} with the tools ${tools}`, () => {
      expect(factsOf(MESSAGES, `{"tools":${tools}}`).searches).to.equal(searches)
    })
})

function factsOf(path: string, body: string): RequestFacts {
  const match = matchAdapter('POST', path)
  const parsed = parseJsonBody(Buffer.from(body))
  if (match === undefined || !parsed.ok) throw new Error(`no request: ${path} ${body}`)
  return readRequestFacts(match, parsed.value)
}
