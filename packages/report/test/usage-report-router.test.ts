import { once } from 'node:events'
import { connect } from 'node:net'
import { MemoryCounterStore, MemoryLedger, QuotaError } from '@tallygate/core'
import type { QuotaOptions } from '@tallygate/flow'
import type { Authorize } from '@tallygate/report'
import { expect } from 'chai'
import { entry, NOW, SECRETS, startReportApp, type ReportApp } from './report-app.ts'

const PROBLEM = 'application/problem+json'
const EVERYBODY = [
  entry({ id: 'of-alice', subject: 'alice' }),
  entry({ id: 'of-bob', subject: 'bob', model: 'claude' }),
  entry({ id: 'of-carol', subject: 'carol', tenant: 'acme' }),
]
const PLAN = {
  name: 'trial',
  limits: [
    { name: 'requests', unit: 'requests', quota: 3, window: { kind: 'fixed', every: 'day', zone: 'Europe/Berlin' } },
    { name: 'tokens', unit: 'tokens', quota: 1_000, window: { kind: 'sliding', durationMs: 60_000 } },
    { name: 'of-gpt', unit: 'requests', quota: 2, window: { kind: 'lifetime' }, when: { model: ['gpt-*'] } },
    { name: 'free', unit: 'requests', quota: null, window: { kind: 'fixed', every: 'month' }, mode: 'shadow' },
  ],
} as const

const OF_GPT = 'it is for calls whose model is gpt-*, and this is claude'

type Row = Readonly<Record<string, unknown>>
interface Explained {
  readonly rows: readonly Row[]
  readonly labels: object
}

describe('usageReportRouter', () => {
  let app: ReportApp
  const start = async (...options: Parameters<typeof startReportApp>): Promise<void> => {
    app = await startReportApp(...options)
    await app.ledger.append(EVERYBODY)
  }
  afterEach(() => app.close())

  describe('without authorization', () => {
    beforeEach(() => start())

    const ids = async (path: string, as: keyof typeof SECRETS): Promise<unknown[]> =>
      (await app.get(path, as)).json.rows.map(({ id }) => id)

    it('shows a key what belongs to it, in its own tenant', async () => {
      expect(await ids('/usage/calls', 'alice')).to.deep.equal(['of-alice'])
      expect(await ids('/usage/calls', 'carol')).to.deep.equal(['of-carol'])
      expect((await app.get('/usage', 'bob')).json.total['calls']).to.equal(1)
    })

    const NOBODY: readonly [what: string, headers: Readonly<Record<string, string>>, query?: string][] = [
      ['no key', {}],
      ['an unknown key', { authorization: 'Bearer unknown-0000000000' }],
      ['a malformed key', { authorization: 'Bearer \tä' }],
      ['another scheme', { authorization: 'Basic YTpi' }],
      ['an unknown key in the query', {}, '?key=unknown-0000000000'],
    ]
    for (const [what, headers, query = ''] of NOBODY) {
      it(`answers ${what} with a 401 that says what is missing`, async () => {
        for (const path of ['/usage', '/usage/calls', '/usage/limits', '/usage/explain']) {
          const answer = await app.get(path + query, headers)
          expect([answer.status, answer.headers.get('content-type')]).to.deep.equal([401, PROBLEM])
          expect(answer.headers.get('www-authenticate')).to.equal('Bearer')
          expect(answer.json).to.include({ status: 401, detail: 'Your API key is missing, malformed or unknown.' })
          expect(answer.json).to.not.have.any.keys('rows', 'total')
        }
      })
    }

    const WIDER: readonly string[] = [
      'key=bob',
      'key=',
      'key=carol',
      'key=alice&key=bob',
      'tenant=acme',
      'user=u&key=bob',
    ]
    for (const query of WIDER) {
      it(`does not let ?${query} widen what is seen`, async () => {
        for (const path of ['/usage', '/usage/calls', '/usage/limits', '/usage/explain']) {
          const { status, json } = await app.get(`${path}?${query}`, 'alice')
          expect(status, path).to.be.oneOf([400, 403])
          expect(json).to.not.have.any.keys('rows', 'total')
        }
      })
    }

    it('narrows by filters, which stay within the own calls', async () => {
      expect(await ids('/usage/calls?model=gpt-4o', 'alice')).to.deep.equal(['of-alice'])
      expect(await ids('/usage/calls?model=claude', 'alice')).to.deep.equal([])
      expect(await ids('/usage/calls?key=alice', 'alice')).to.deep.equal(['of-alice'])
    })

    it('takes a key in the query as the credential that it is, and repeats it in no link', async () => {
      await app.ledger.append([entry({ id: 'newer', atMs: NOW + 1 })])
      const { json, headers } = await app.get(`/usage/calls?limit=1&key=${SECRETS.alice}`)
      expect(json.rows[0]).to.include({ id: 'newer' })
      expect(json.next).to.equal(`/usage/calls?limit=1&before=${NOW + 1}%7Enewer`)
      expect(headers.get('link')).to.equal(`<${json.next}>; rel="next"`)
      expect((await app.get(json.next!, 'alice')).json.rows[0]).to.include({ id: 'of-alice' })
    })

    it('shows anonymous callers nothing, even where calls without a key pass', async () => {
      const open = await startReportApp({}, { unregistered: 'pass' })
      const { status, json } = await open.get('/usage')
      expect([status, json.detail]).to.deep.equal([401, 'Send your API key: the report shows what belongs to it.'])
      await open.close()
    })
  })

  describe('with authorization', () => {
    it('shows an administrator everything of a tenant, and no other', async () => {
      await start({ authorize: ({ headers }) => ({ all: true, tenant: String(headers['x-tenant'] ?? 'default') }) })
      const keys = async (path: string, tenant = 'default'): Promise<unknown[]> =>
        (await app.get(path, { 'x-tenant': tenant })).json.rows.map(({ key }) => key)
      expect(await keys('/usage')).to.deep.equal(['alice', 'bob'])
      expect(await keys('/usage?key=bob')).to.deep.equal(['bob'])
      expect(await keys('/usage?key=carol')).to.deep.equal([])
      expect(await keys('/usage?tenant=acme', 'acme')).to.deep.equal(['carol'])
      expect((await app.get('/usage?tenant=acme')).status).to.equal(400)
    })

    it('tells an administrator where the limits of any key stand, by its id', async () => {
      const limits = [{ name: 'calls', unit: 'requests', quota: 5, window: { kind: 'lifetime' } }] as const
      await start({ authorize: () => ({ all: true }) }, { plans: [{ name: 'p', limits }], defaultPlans: ['p'] })
      await app.call('alice')
      await app.quota.drain()
      const left = async (key: string): Promise<unknown> =>
        (await app.get(`/usage/limits?key=${key}`)).json.rows.map(({ remaining }) => remaining)
      expect(await left('alice')).to.deep.equal([4])
      expect(await left('bob')).to.deep.equal([5])
      const { status, json } = await app.get('/usage/limits')
      expect([status, json.detail]).to.deep.equal([
        400,
        'limits are those of a key: name it as ?key=, as the usage report does',
      ])
    })

    describe('of a key that nobody has', () => {
      const ask = async (path: string): Promise<unknown[]> => {
        const { status, json, headers } = await app.get(path)
        return status === 200 ? [status] : [status, headers.get('content-type'), json.detail]
      }
      const nobody = (tenant: string, key: string): unknown[] => [
        404,
        PROBLEM,
        `The tenant ${tenant} has no key "${key}", and others are refused: name it by its id.`,
      ]
      const paths = ['/usage/limits?key=', '/usage/explain?key='] as const

      it('says so, where such are refused', async () => {
        await start({ authorize: () => ({ all: true }) })
        for (const path of paths) {
          expect(await ask(`${path}nobody`)).to.deep.equal(nobody('default', 'nobody'))
          expect(await ask(`${path}carol`)).to.deep.equal(nobody('default', 'carol'))
          expect(await ask(`${path}bob`)).to.deep.equal([200])
        }
        expect(await ask('/usage?key=nobody')).to.deep.equal([200])
      })

      it('tells its limits where such pass, and where calls were made under it', async () => {
        await start({ authorize: () => ({ all: true }) }, { unregistered: 'pass' })
        for (const path of paths) expect(await ask(`${path}nobody`)).to.deep.equal([200])
        await app.close()
        await start({ authorize: () => ({ all: true }) })
        await app.ledger.append([entry({ id: 'of-a-user', subject: 'user-of-the-host' })])
        for (const path of paths) expect(await ask(`${path}user-of-the-host`)).to.deep.equal([200])
      })
    })

    it('shows a caller whom the host vouches for what is its own, and no more', async () => {
      await start({ authorize: ({ headers }) => ({ key: String(headers['x-user']) }) })
      await app.ledger.append([entry({ id: 'of-ann', subject: 'ann' })])
      const { json } = await app.get('/usage', { 'x-user': 'ann' })
      expect(json.rows.map(({ key, calls }) => [key, calls])).to.deep.equal([['ann', 1]])
      expect((await app.get('/usage?key=alice', { 'x-user': 'ann' })).status).to.equal(403)
      expect((await app.get('/usage/limits', { 'x-user': 'ann' })).json.subject).to.equal('ann')
    })

    it('shows the own calls, or nothing, where it says so; also a moment later', async () => {
      await start({ authorize: async ({ headers }) => (headers['x-banned'] === undefined ? 'own' : 'none') })
      expect((await app.get('/usage', 'alice')).json.total['calls']).to.equal(1)
      const { status, json } = await app.get('/usage', { 'x-banned': '1', authorization: `Bearer ${SECRETS.alice}` })
      expect([status, json.detail]).to.deep.equal([403, 'This report is not for you.'])
    })
  })

  describe('/limits', () => {
    beforeEach(() => start({}, { plans: [PLAN], defaultPlans: ['trial'] }))

    const limits = async (query = ''): Promise<unknown[]> =>
      (await app.get(`/usage/limits${query}`, 'alice')).json.rows.map(({ limit, used, remaining }) => [
        limit,
        used,
        remaining,
      ])

    const limitsOf = async (query: string): Promise<unknown[]> => {
      const { rows, notShown } = (await app.get(`/usage/limits${query}`, 'alice')).json
      return [rows.map(({ limit, used }) => [limit, used]), notShown]
    }

    it('tells what is used and what remains, and counts nothing', async () => {
      expect(await app.call('alice')).to.equal(200)
      for (let times = 0; times < 3; times += 1) {
        expect(await limits()).to.deep.equal([
          ['requests', 1, 2],
          ['tokens', 15, 985],
          ['of-gpt', 1, 1],
          ['free', 1, null],
        ])
      }
    })

    it('tells plan, unit, window, quota and the next reset', async () => {
      const { rows, subject } = (await app.get('/usage/limits', 'alice')).json
      expect(subject).to.equal('alice')
      expect(rows[0]).to.deep.equal({
        plan: 'trial',
        limit: 'requests',
        unit: 'requests',
        window: 'fixed 1 day Europe/Berlin',
        quota: 3,
        used: 0,
        remaining: 3,
        resetAt: '2026-01-15T23:00:00.000Z',
        mode: 'enforce',
        from: 'default',
        override: null,
      })
      expect(rows.map(({ window }) => window).slice(1)).to.deep.equal(['sliding 60 s', 'lifetime', 'fixed 1 month UTC'])
    })

    it('tells those for calls of one model with ?model=', async () => {
      expect(await limits('?model=claude')).to.have.length(3)
      expect(await limits('?model=gpt-4o')).to.have.length(4)
    })

    it('names those that it can not show, as they count by what only a call tells, and says how to ask', async () => {
      const window = { kind: 'lifetime' } as const
      const limits = [
        { name: 'by-model', unit: 'requests', quota: 2, window, per: ['key', 'model'] },
        { name: 'by-route', unit: 'requests', quota: 2, window, per: ['key', 'route'] },
        { name: 'all', unit: 'requests', quota: 9, window },
      ] as const
      await app.close()
      await start({}, { plans: [{ name: 'p', limits }], defaultPlans: ['p'] })
      await app.call('alice')
      expect(await limitsOf('')).to.deep.equal([
        [['all', 1]],
        [
          { plan: 'p', limit: 'by-model', because: 'it counts by model: ask with ?model=' },
          { plan: 'p', limit: 'by-route', because: 'it counts by route: ask with ?route= for /explain' },
        ],
      ])
      const [rows, notShown] = await limitsOf('?model=gpt-4o')
      expect(rows).to.deep.include(['by-model', 1])
      expect(notShown).to.deep.equal([])
    })

    it('agrees with what is let through, and never says less than nothing is left', async () => {
      const statuses = [await app.call('alice'), await app.call('alice'), await app.call('alice')]
      expect(statuses).to.deep.equal([200, 200, 429])
      expect((await limits())[2]).to.deep.equal(['of-gpt', 2, 0])
      expect((await app.get('/usage/calls', 'alice')).json.rows).to.have.length(3)
      expect((await app.get('/usage/limits', 'bob')).json.rows[2]).to.include({ used: 0, remaining: 2 })
    })

    it('writes them as CSV', async () => {
      const { text } = await app.get('/usage/limits?format=csv', 'alice')
      expect(text.split('\r\n').slice(0, 2)).to.deep.equal([
        'plan,limit,unit,window,quota,used,remaining,resetAt,mode,from,override',
        'trial,requests,requests,fixed 1 day Europe/Berlin,3,0,3,2026-01-15T23:00:00.000Z,enforce,default,',
      ])
    })
  })

  describe('/explain', () => {
    const options: QuotaOptions = {
      plans: [{ ...PLAN, labels: { price: '10' } }],
      defaultPlans: ['trial'],
      overrides: [{ for: { key: 'alice' }, limit: 'trial/tokens', quota: 40 }],
    }
    const explained = async (query = '', as: 'alice' | Record<string, string> = 'alice'): Promise<Explained> =>
      (await app.get(`/usage/explain${query}`, as)).json as unknown as Explained

    it('tells what would become of a call, from where its limits are, and counts nothing', async () => {
      await start({}, options)
      await app.call('alice')
      const told = await explained('?model=gpt-4o&tokens=20')
      expect(told).to.deep.include({ subject: 'alice', admitted: true, reason: null, retryAt: null })
      expect(told.labels).to.deep.equal({ trial: { price: '10' } })
      const row = ({ limit, applies, used, remaining, override, binding }: Row): unknown[] => [
        limit,
        applies,
        used,
        remaining,
        override,
        binding,
      ]
      expect(told.rows.map(row)).to.deep.equal([
        ['requests', true, 1, 2, null, false],
        ['tokens', true, 15, 25, 'key alice', false],
        ['of-gpt', true, 1, 1, null, true],
        ['free', true, 1, null, null, false],
      ])
      expect(await explained('?tokens=26')).to.deep.include({ admitted: false, reason: 'no-room' })
      expect(await explained('?model=gpt-4o&tokens=20')).to.deep.equal(told)
    })

    it('says why a limit is not for the call, and by how much each can be exceeded', async () => {
      await start({}, options)
      const { rows } = await explained('?model=claude&tokens=20')
      expect(rows[2]).to.include({ applies: false, used: null, because: OF_GPT })
      expect(rows.map(({ overshoot }) => overshoot)).to.deep.equal([0, null, 0, null])
      expect(rows[1]!['overshootBecause']).to.match(/^estimate unbounded: each call under way can use more/)
      expect(rows[0]!['whenThingsFail']).to.match(/^counters-lost 3: /)
    })

    it('tells an administrator of any key, and everybody else of none but his own', async () => {
      const isAdmin: Authorize = ({ headers }) => (headers['x-admin'] === undefined ? 'own' : { all: true })
      await start({ authorize: isAdmin }, options)
      expect(await explained('?key=alice', { 'x-admin': '1' })).to.include({ subject: 'alice' })
      expect((await explained('?key=bob', { 'x-admin': '1' })).rows[1]).to.include({ override: null, quota: 1_000 })
      expect((await app.get('/usage/explain?key=bob', 'alice')).status).to.equal(403)
      expect((await app.get('/usage/explain', { 'x-admin': '1' })).status).to.equal(400)
    })

    for (const query of ['tokens=-1', 'tokens=', 'tokens=1.5', 'tokens=99999999999999999', 'requests=x', 'modle=gpt']) {
      it(`answers ?${query} with a 400 that says what to use`, async () => {
        await start({}, options)
        const { status, json } = await app.get(`/usage/explain?${query}`, 'alice')
        expect(status).to.equal(400)
        expect(json.detail).to.include('use ')
      })
    }

    it('is written as CSV too', async () => {
      await start({}, options)
      const { text } = await app.get('/usage/explain?format=csv', 'alice')
      expect(text).to.match(/^plan,version,limit,.*,overshoot,overshootBecause,whenThingsFail\r\ntrial,/)
    })
  })

  describe('questions that make no sense', () => {
    beforeEach(() => start({ authorize: () => ({ all: true }) }))

    const BAD: readonly [path: string, says: string][] = [
      ['/usage?month=2026-13', 'month is "2026-13"'],
      ['/usage?month=2026-1', 'month is "2026-1"'],
      ['/usage?month=', 'month is ""'],
      ['/usage?month=2026-01-01', 'month is "2026-01-01"'],
      ['/usage?month=0099-01&zone=Europe/Berlin', 'month is "0099-01"'],
      ['/usage?from=2026-02-30', 'from is "2026-02-30"'],
      ['/usage?from=2026-02-30T00:00:00Z', 'from is "2026-02-30"'],
      ['/usage?from=2026-01-15T25:00:00Z', 'from is "2026-01-15T25:00:00Z"'],
      ['/usage?to=yesterday', 'to is "yesterday"'],
      ['/usage?from=-271821-04-20', 'from is "-271821-04-20"'],
      ['/usage?from=%00', 'from is "\\u0000"'],
      [`/usage?from=${'9'.repeat(9_000)}`, 'from is "999'],
      ['/usage?from=2026-02&to=2026-01', 'the range is empty'],
      ['/usage?from=2026-01-10T12:00:00Z&to=2026-01-10T12:00:00Z', 'the range is empty'],
      ['/usage?month=2026-01&to=2026-02', 'month is given beside from or to'],
      ['/usage?from=1970-01&to=2026-01&by=day', 'the range is too long'],
      ['/usage?from=1970-01&to=9999-12&by=month', 'the range is too long'],
      ['/usage?zone=Mars/Olympus', 'zone is "Mars/Olympus"'],
      ['/usage?zone=', 'zone is ""'],
      ['/usage?by=tenant', 'there is no group "tenant"'],
      ['/usage?by=key,secret', 'there is no group "secret"'],
      ['/usage?by=__proto__', 'there is no group "__proto__"'],
      ['/usage?by=key,key', 'by names a group twice'],
      ['/usage?by=day,month', 'by names day and month'],
      ['/usage?limit=0', 'limit is 0'],
      ['/usage?limit=10001', 'limit is 10001'],
      ['/usage?limit=99999999999', 'limit is "99999999999"'],
      ['/usage?limit=-1', 'limit is "-1"'],
      ['/usage?limit=1.5', 'limit is "1.5"'],
      ['/usage?limit=1e3', 'limit is "1e3"'],
      ['/usage?offset=x', 'offset is "x"'],
      ['/usage?format=xml', 'format is "xml"'],
      ['/usage?modle=gpt', 'there is no parameter "modle"'],
      ['/usage?__proto__=1', 'there is no parameter "__proto__"'],
      ['/usage?model=a&model=b', 'model is given twice'],
      ['/usage?before=x', 'there is no parameter "before"'],
      ['/usage/calls?by=key', 'there is no parameter "by"'],
      ['/usage/calls?limit=1001', 'limit is 1001'],
      ['/usage/calls?limit=0', 'limit is 0'],
      ['/usage/limits?from=2026-01', 'there is no parameter "from"'],
    ]
    for (const [path, says] of BAD) {
      it(`answers ${path.slice(0, 60)} with a 400 that says why`, async () => {
        const { status, headers, json, text } = await app.get(path)
        expect([status, headers.get('content-type')], text).to.deep.equal([400, PROBLEM])
        expect(json.detail.slice(0, says.length)).to.equal(says)
        expect(text).to.not.match(/\.[jt]s:\d|node_modules/)
        expect(text.length).to.be.below(500)
      })
    }
  })

  it('takes any path that a client can write, and leaves what is not its own to the next', async () => {
    await start({ authorize: () => ({ all: true }) })
    const { port } = new URL(app.url)
    const statusOf = async (target: string, method = 'GET'): Promise<string> => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.end(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      let text = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      await once(socket, 'close')
      expect(text).to.not.match(/\.[jt]s:\d|TypeError/)
      return text.slice(9, 12)
    }
    const targets = ['/usage', '/usage/', '/usage/calls/', 'http://evil.invalid/usage', '/usage?']
    for (const target of targets) expect(await statusOf(target), target).to.equal('200')
    for (const target of ['/usage//[', '/usage//evil/limits', '/usage/%', '/usage/nothing', '/usage/constructor']) {
      expect(await statusOf(target), target).to.equal('404')
    }
    expect(await statusOf('/usage?%')).to.equal('400')
    expect(await statusOf('/usage', 'POST')).to.equal('404')
    expect(await statusOf('/usage', 'HEAD')).to.equal('200')
  })

  it('answers 503 without a word of the cause when books or counters can not be read', async () => {
    const ledger = new MemoryLedger()
    const store = new MemoryCounterStore()
    const logged: unknown[] = []
    const error = (...line: readonly unknown[]): void => void logged.push(line)
    const options = { ledger, store, plans: [PLAN], defaultPlans: ['trial'], logger: { warn: error, error } }
    await start({}, options)
    // As a store behaves whose server is gone.
    const gone = async (): Promise<never> => {
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'connect ECONNREFUSED 10.0.0.7:6379')
    }
    Object.assign(store, { read: gone })
    Object.assign(ledger, { sum: gone, entries: gone })
    for (const path of ['/usage', '/usage/calls', '/usage/limits', '/usage/explain']) {
      const { status, text } = await app.get(path, 'alice')
      expect([path, status]).to.deep.equal([path, 503])
      const lines = logged.splice(0).map((line) => JSON.stringify(line))
      expect(lines.join(), path).to.match(
        /"the report can not be read",\{"cause":"[^"]*connect ECONNREFUSED 10\.0\.0\.7:6379"/,
      )
      expect(text).to.not.include('10.0.0.7')
    }
    for (let times = 0; times < 3; times += 1) expect((await app.get('/usage', 'alice')).status).to.equal(503)
    expect(logged).to.deep.equal([])
  })
})
