import { expect } from 'chai'
import { closeSessionBeds, LIVE, openSession, openSessionBed, REALTIME, REQUESTS } from './session-bed.ts'

const SECRETS = /sk-|Bearer/

describe('keys of sessions over WebSocket', () => {
  afterEach(closeSessionBeds)

  const CASES: readonly {
    what: string
    url?: string
    headers: Record<string, string>
    proxy?: object
    expected: Record<string, string | undefined>
    expectedUrl?: string
  }[] = [
    {
      what: 'Authorization goes on',
      headers: { authorization: 'Bearer sk-a-key', 'api-key': 'sk-other' },
      expected: { authorization: 'Bearer sk-a-key', 'api-key': undefined },
    },
    {
      what: 'api-key goes on',
      url: '/openai/realtime?deployment=gpt-realtime&api-version=2025-04-01-preview',
      headers: { 'api-key': 'sk-a-key' },
      expected: { 'api-key': 'sk-a-key' },
      expectedUrl: '/realtime?deployment=gpt-realtime&api-version=2025-04-01-preview',
    },
    {
      what: 'a key among the protocols goes on',
      headers: { 'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-a-key' },
      expected: { 'sec-websocket-protocol': 'realtime, openai-insecure-api-key.sk-a-key' },
    },
    {
      what: 'a key among the protocols is swapped',
      headers: { 'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-a-key, openai-beta.realtime-v1' },
      proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' },
      expected: { 'sec-websocket-protocol': 'realtime, openai-beta.realtime-v1', authorization: 'Bearer sk-host' },
    },
    {
      what: 'a key among the protocols beside another goes nowhere',
      headers: {
        authorization: 'Bearer sk-a-key',
        'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-b',
      },
      expected: { 'sec-websocket-protocol': 'realtime', authorization: 'Bearer sk-a-key' },
    },
    {
      what: 'a key in the query is swapped',
      url: `${LIVE}?key=sk-a-key&alt=ws`,
      headers: {},
      proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' },
      expected: { 'x-goog-api-key': 'sk-host' },
      expectedUrl: '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?alt=ws',
    },
    {
      what: 'what is none of the provider’s business stays here',
      headers: {
        authorization: 'Bearer sk-a-key',
        cookie: 'session=1',
        'x-tallygate-parent': 'run-1',
        'x-forwarded-for': '10.0.0.1',
        'Sec-WebSocket-Extensions': 'permessage-deflate',
      },
      expected: {
        cookie: undefined,
        'x-tallygate-parent': undefined,
        'x-forwarded-for': undefined,
        'sec-websocket-extensions': undefined,
        upgrade: 'websocket',
      },
    },
  ]
  for (const { what, url = REALTIME, headers, proxy = {}, expected, expectedUrl } of CASES) {
    it(what, async () => {
      const bed = await openSessionBed([], { proxy })
      const client = await openSession(bed.port, url, headers)
      expect(client.status).to.equal(101)
      const [session] = bed.provider.sessions
      for (const [name, value] of Object.entries(expected)) expect(session!.headers[name], name).to.equal(value)
      if (expectedUrl !== undefined) expect(session!.url).to.equal(expectedUrl)
      client.socket.end()
      const text = JSON.stringify([await bed.entries(), bed.logged])
      expect(text).not.to.match(SECRETS)
    })
  }

  it('of the host’s account are not told of', async () => {
    const bed = await openSessionBed([REQUESTS], { proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' } })
    const client = await openSession(bed.port)
    expect(client.header('openai-organization')).to.equal(undefined)
    expect(client.header('x-request-id')).to.match(/^req_session/)
    expect(client.header('ratelimit')).to.include('"calls";r=9')
  })
})
