import type { Gateway } from '@tallygate/gateway'
import { expect } from 'chai'
import { chat, closeAll, get, PROMPT, run, SECRETS, usageOf, writeConfig, type Setting } from './running-gateway.ts'

const SWAP = `credential: { swap: ${SECRETS.provider} }`
const KEY = `keys: [{ id: caller, secret: ${SECRETS.caller} }]`

/** What the keys of `quota.yaml` do, each in a gateway of its own. */
describe('quota.yaml', () => {
  let setting: Setting
  let gateway: Gateway
  /** @param provider Members of the one provider. */
  const start = async (provider: string, further: string): Promise<void> => {
    setting = await writeConfig(
      ({ url }) =>
        `providers: { openai: { target: '${url}'${provider === '' ? '' : `, ${provider}`} } }\n${further}\n` +
        `listen: { port: 0 }\nadministration: { port: 0 }\nlog: silent\n`,
    )
    gateway = await run(setting)
  }
  const limit = (members: string): string => `plans: { p: { limits: [{ name: l, ${members} }] } }\ndefaultPlans: [p]`
  const statuses = async (calls: number, options: Parameters<typeof chat>[1] = {}): Promise<number[]> => {
    const found: number[] = []
    for (let call = 0; call < calls; call += 1) found.push((await chat(gateway.url, options)).status)
    return found
  }
  afterEach(closeAll)

  it('without keys passes those of the callers on, and tells each what is its own', async () => {
    await start('', '')
    await chat(gateway.url, { key: 'sk-of-a-client' })
    await chat(gateway.url, { key: 'sk-of-another' })
    expect(setting.provider.requests.map(({ headers }) => headers.authorization)).to.deep.equal([
      'Bearer sk-of-a-client',
      'Bearer sk-of-another',
    ])
    expect(await usageOf(gateway.url, 'sk-of-a-client')).to.include({ calls: 1 })
    const { text } = await get(`${gateway.url}/usage`, { authorization: 'Bearer sk-of-a-client' })
    expect(text).to.not.include('sk-of-a-client')
  })

  it('unregistered: pass lets keys pass that it does not know, and refuse refuses them', async () => {
    await start('', `${KEY}\nunregistered: pass`)
    expect((await chat(gateway.url, { key: 'sk-of-a-client' })).status).to.equal(200)
    await closeAll()
    await start('', KEY)
    expect((await chat(gateway.url, { key: 'sk-of-a-client' })).status).to.equal(401)
  })

  it('expires and disabled end a key', async () => {
    const keys = ['expires: 2020-01-31', 'disabled: true', 'expires: 2999-01-31T00:00:00Z']
    const listed = keys.map((member, index) => `{ id: k${index}, secret: the-secret-of-key-${index}, ${member} }`)
    await start(SWAP, `keys: [${listed.join(', ')}]`)
    for (const [index, status] of [401, 401, 200].entries()) {
      expect((await chat(gateway.url, { key: `the-secret-of-key-${index}` })).status).to.equal(status)
    }
  })

  it('path and reportPath stand where they say', async () => {
    await start('path: /ai/one', 'reportPath: /mine')
    expect((await chat(gateway.url, { path: '/ai/one/v1/chat/completions' })).status).to.equal(200)
    expect((await chat(gateway.url)).status).to.equal(404)
    const report = await get(`${gateway.url}/mine`, { authorization: `Bearer ${SECRETS.caller}` })
    expect(JSON.parse(report.text)).to.have.nested.property('total.calls', 1)
    expect((await get(`${gateway.url}/usage`, { authorization: `Bearer ${SECRETS.caller}` })).status).to.equal(404)
  })

  it('credentialHeader carries the swapped key', async () => {
    await start(`${SWAP}, credentialHeader: api-key`, KEY)
    await chat(gateway.url)
    const { headers } = setting.provider.requests[0]!
    expect([headers['api-key'], headers.authorization]).to.deep.equal([SECRETS.provider, undefined])
  })

  it('timeout ends the wait for a provider that says nothing', async () => {
    await start('timeout: 100ms', '')
    setting.provider.script = { delayMs: 10_000 }
    expect((await chat(gateway.url)).status).to.equal(504)
  })

  it('forwarder: undici carries calls, and their figures', async () => {
    await start('forwarder: undici', '')
    expect((await chat(gateway.url)).status).to.equal(200)
    expect(setting.provider.requests.map(({ url }) => url)).to.deep.equal(['/v1/chat/completions'])
    const report = await get(`${gateway.url}/usage`, { authorization: `Bearer ${SECRETS.caller}` })
    expect(JSON.parse(report.text)).to.have.nested.property('total.calls', 1)
  })

  it('bodyLimitBytes bounds bodies, and the body stays with us', async () => {
    await start('', 'bodyLimitBytes: 1024')
    const { status, text } = await chat(gateway.url, { prediction: 'x'.repeat(2_000) })
    expect(status).to.equal(413)
    expect(text).to.not.include(PROMPT)
    expect(setting.provider.requests).to.deep.equal([])
  })

  it('unmetered: pass forwards what nothing meters', async () => {
    await start('unmetered: pass', '')
    await chat(gateway.url, { path: '/openai/v1/embeddings' })
    expect(setting.provider.requests.map(({ url }) => url)).to.deep.equal(['/v1/embeddings'])
  })

  const LIMITS: readonly [what: string, members: string, further: string, statuses: readonly number[]][] = [
    ['a calendar window', 'unit: requests, quota: 2, window: month', '', [200, 200, 429]],
    ['a window of an epoch', 'unit: requests, quota: 2, window: { fixed: 9999h }', '', [200, 200, 429]],
    ['an anchor', 'unit: requests, quota: 1, window: { fixed: month, count: 2, anchor: { hour: 3 } }', '', [200, 429]],
    ['a sliding window', 'unit: requests, quota: 1, window: { sliding: 1h, buckets: 4 }', '', [200, 429]],
    ['a first use', 'unit: requests, quota: 1, window: { first-use: 1h, then: end }', '', [200, 429]],
    ['a lifetime', 'unit: requests, quota: 1, window: lifetime', '', [200, 429]],
    ['no concurrent call', 'unit: requests, quota: 1, window: concurrent', '', [200, 200, 200]],
    ['no quota', 'unit: requests, quota: null, window: day', '', [200, 200, 200]],
    ['a model that is not called', 'unit: requests, quota: 0, window: day, when: { model: [claude-*] }', '', [200]],
    ['a shadow', 'unit: requests, quota: 1, window: day, mode: shadow', '', [200, 200]],
    ['a flag', 'unit: requests, quota: 1, window: day, onTrip: flag', '', [200, 200]],
    ['one that is exceeded', 'unit: requests, quota: 1, window: day, trip: exceeded', '', [200, 200, 429]],
    ['a call that never fits', 'unit: tokens, quota: 5, window: lifetime', '', [413]],
    ['another status', 'unit: requests, quota: 1, window: lifetime', 'exhaustedStatus: 402', [200, 402]],
  ]
  for (const [what, members, further, expected] of LIMITS) {
    it(`limits by ${what}`, async () => {
      await start('', `${limit(members)}\n${further}`)
      expect(await statuses(expected.length, { max_tokens: 10 })).to.deep.equal(expected)
    })
  }

  it('combine: any lets a call pass that one of several plans has room for', async () => {
    const plans = [1, 3].map(
      (quota) => `p${quota}: { limits: [{ name: l, unit: requests, quota: ${quota}, window: lifetime }] }`,
    )
    await start('', `plans: { ${plans.join(', ')} }\ndefaultPlans: [p1, p3]\ncombine: any`)
    expect(await statuses(4)).to.deep.equal([200, 200, 200, 429])
  })

  const ANN = 'dimensions: { user: ann }, groups: [staff, beta]'
  const CALLERS: readonly [what: string, key: string, further: string, statuses: readonly number[]][] = [
    ['its user', ANN, 'assignments: [{ for: { user: ann }, plans: [p2] }]', [200, 200, 429]],
    ['its key', '', 'assignments: [{ for: { key: caller }, plans: [p2] }]', [200, 200, 429]],
    [
      'the first of its groups',
      ANN,
      'assignments: [{ for: { group: beta }, plans: [p2] }, { for: { group: staff }, plans: [p3] }]',
      [200, 200, 429],
    ],
    [
      'any of its groups',
      ANN,
      'severalGroups: any\nassignments: [{ for: { group: beta }, plans: [p2] }, { for: { group: staff }, plans: [p3] }]',
      [200, 200, 200, 429],
    ],
    [
      'all that it is assigned',
      ANN,
      'assignments: [{ for: { user: ann }, plans: [p2, p3], combine: all }]',
      [200, 200, 429],
    ],
    [
      'any that it is assigned',
      ANN,
      'assignments: [{ for: { user: ann }, plans: [p2, p3], combine: any }]',
      [200, 200, 200, 429],
    ],
    ['nobody', '', 'assignments: [{ for: { user: ann }, plans: [p2] }]', [200, 429]],
    ['the default, overridden', ANN, 'overrides: [{ for: { group: staff }, limit: p1/l, quota: 2 }]', [200, 200, 429]],
    [
      'the default, overridden for a plan',
      '',
      'overrides: [{ for: { plan: p1 }, limit: p1/l, quota: 2, until: 2999-12-31 }]',
      [200, 200, 429],
    ],
    [
      'the default, no longer overridden',
      '',
      'overrides: [{ for: { plan: p1 }, limit: p1/l, quota: 2, until: 2020-12-31 }]',
      [200, 429],
    ],
  ]
  for (const [whom, key, further, expected] of CALLERS) {
    it(`gives a caller the plans of ${whom}`, async () => {
      const plans = [1, 2, 3].map(
        (q) => `p${q}: { limits: [{ name: l, unit: requests, quota: ${q}, window: lifetime }] }`,
      )
      const caller = `keys: [{ id: caller, secret: ${SECRETS.caller}${key === '' ? '' : `, ${key}`} }]`
      await start('', `${caller}\nplans: { ${plans.join(', ')} }\ndefaultPlans: [p1]\n${further}`)
      expect(await statuses(expected.length)).to.deep.equal(expected)
    })
  }

  it('count gives back what its rule does not count, and the ledger says the same', async () => {
    const plan =
      'limits: [{ name: l, unit: requests, quota: 2, window: lifetime }], count: { on: success, refundOn: [5xx] }'
    await start('', `${KEY}\nplans: { p: { ${plan} } }\ndefaultPlans: [p]`)
    setting.provider.script = { status: 503 }
    expect(await statuses(3)).to.deep.equal([503, 503, 503])
    setting.provider.script = {}
    expect(await statuses(3)).to.deep.equal([200, 200, 429])
    await gateway.quota.drain()
    expect(await usageOf(gateway.url)).to.include({ calls: 5, failed: 3 })
  })

  it('rateLimitHeaders chooses the fields', async () => {
    await start('', `${limit('unit: requests, quota: 9, window: day')}\nrateLimitHeaders: [openai, anthropic]`)
    const { headers } = await chat(gateway.url)
    expect(headers.get('x-ratelimit-remaining-requests')).to.equal('8')
    expect(headers.get('anthropic-ratelimit-requests-limit')).to.equal('9')
    expect(headers.has('ratelimit')).to.equal(false)
  })
})
