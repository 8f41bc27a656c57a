import { problemBody, problemEvent, sseData, type Dialect, type Problem, type ProblemKind } from '@tallygate/metering'
import { expect } from 'chai'

const problem = (kind: ProblemKind, more: Partial<Problem> = {}): Problem => {
  return { kind, status: 429, message: 'No room: "tokens"\nis full.', requestId: 'r1', ...more }
}
const documentOf = (dialect: Dialect, of: Problem): unknown => JSON.parse(problemBody(dialect, of).body)

describe('problemBody', () => {
  const openai: readonly (readonly [kind: ProblemKind, type: string, code: string | null])[] = [
    ['rate-limited', 'rate_limit_error', 'rate_limit_exceeded'],
    ['quota-exhausted', 'insufficient_quota', 'insufficient_quota'],
    ['unauthenticated', 'invalid_request_error', 'invalid_api_key'],
    ['too-large-for-quota', 'invalid_request_error', 'request_too_large'],
    ['invalid-request', 'invalid_request_error', null],
    ['unavailable', 'server_error', 'service_unavailable'],
  ]
  for (const [kind, type, code] of openai) {
    it(`says ${kind} in the words of openai`, () => {
      const { message } = problem(kind)
      expect(documentOf('openai', problem(kind))).to.deep.equal({ error: { message, type, param: null, code } })
    })
  }

  const anthropic: readonly (readonly [kind: ProblemKind, type: string])[] = [
    ['rate-limited', 'rate_limit_error'],
    ['quota-exhausted', 'rate_limit_error'],
    ['unauthenticated', 'authentication_error'],
    ['body-too-large', 'request_too_large'],
    ['not-found', 'not_found_error'],
    ['internal', 'api_error'],
  ]
  for (const [kind, type] of anthropic) {
    it(`says ${kind} in the words of anthropic`, () => {
      const { message } = problem(kind)
      expect(documentOf('anthropic', problem(kind))).to.deep.equal({
        type: 'error',
        error: { type, message },
        request_id: 'r1',
      })
    })
  }

  it('says when to come back in the words of gemini', () => {
    const { message } = problem('rate-limited')
    expect(documentOf('gemini', problem('rate-limited', { retryAfterMs: 1_200 }))).to.deep.equal({
      error: {
        code: 429,
        message,
        status: 'RESOURCE_EXHAUSTED',
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' }],
      },
    })
    expect(documentOf('gemini', problem('quota-exhausted'))).to.deep.nested.include({ 'error.details': [] })
  })

  it('says a problem in the words of bedrock, cohere and ollama', () => {
    const { message } = problem('rate-limited')
    expect(documentOf('bedrock', problem('rate-limited'))).to.deep.equal({ __type: 'ThrottlingException', message })
    expect(documentOf('bedrock', problem('unauthenticated'))).to.include({ __type: 'AccessDeniedException' })
    expect(documentOf('cohere', problem('rate-limited'))).to.deep.equal({ id: 'r1', message })
    expect(documentOf('ollama', problem('rate-limited'))).to.deep.equal({ error: message })
  })

  it('names the limits in the way in a problem document', () => {
    const { message } = problem('rate-limited')
    expect(documentOf('problem', problem('rate-limited', { violated: ['tokens-per-day'] }))).to.deep.equal({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'Quota exceeded',
      status: 429,
      detail: message,
      instance: 'urn:request:r1',
      'violated-policies': ['tokens-per-day'],
    })
    expect(documentOf('problem', problem('not-found', { status: 404 }))).to.include({
      type: 'about:blank',
      title: 'Not Found',
    })
  })

  it('names its media type', () => {
    expect(problemBody('problem', problem('internal')).contentType).to.equal('application/problem+json')
    for (const dialect of ['openai', 'anthropic', 'gemini'] as const)
      expect(problemBody(dialect, problem('internal')).contentType).to.equal('application/json')
  })
})

describe('problemEvent', () => {
  const broke = problem('provider-broke-off', { status: 502 })
  const table: readonly (readonly [adapter: string, dialect: Dialect, event: string | undefined, data: unknown])[] = [
    ['openai-chat', 'openai', undefined, documentOf('openai', broke)],
    [
      'openai-responses',
      'openai',
      'error',
      { type: 'error', code: 'provider_broke_off', message: broke.message, param: null },
    ],
    ['anthropic-messages', 'anthropic', 'error', documentOf('anthropic', broke)],
    ['gemini-generate', 'gemini', undefined, documentOf('gemini', broke)],
  ]
  for (const [adapter, dialect, event, data] of table) {
    it(`is one whole event that the clients of ${adapter} understand`, () => {
      const text = problemEvent(adapter, dialect, broke)
      expect(sseData(text).map((each): unknown => JSON.parse(each))).to.deep.equal([data])
      expect(/^event: (.*)$/m.exec(text)?.[1]).to.equal(event)
      expect(text.endsWith('\n\n')).to.equal(true)
    })
  }
})
