import { isQuotaError } from '@tallygate/core'
import {
  enforceLimits,
  estimateUsage,
  identifyKey,
  llmProxy,
  meterUsage,
  quotaMiddleware,
  resolvePlan,
  settleUsage,
} from '@tallygate/express'
import type { Plan } from '@tallygate/core'
import { expect } from 'chai'
import { ask, closeTestBeds, EXPRESSES, HELLO, openTestBed } from './test-bed.ts'

const plan = (quota: number): Plan => ({
  name: 'pro',
  limits: [{ name: 'calls', unit: 'requests', quota, window: { kind: 'fixed', every: 'hour' } }],
})

for (const { version, express } of EXPRESSES) {
  describe(`each step alone, on ${version}`, () => {
    afterEach(closeTestBeds)

    it('identifyKey sets the subject, and refuses whom the quota does not know', async () => {
      const bed = await openTestBed({ missing: 'refuse' })
      const app = express()
      app.use(identifyKey({ quota: bed.quota }), (req, res) => res.json(req.quota!.subject))
      const url = await bed.serve(app)
      expect((await ask(url)).json)
        .to.have.property('id')
        .that.matches(/^key_/)
      const refused = await ask(url, { key: '' })
      expect(refused).to.deep.include({ status: 401 })
      expect(refused.headers.get('www-authenticate')).to.equal('Bearer')
      expect(refused.json.error).to.deep.include({ type: 'invalid_request_error', param: null })
    })

    it('identifyKey takes whom the host vouches for, with further dimensions', async () => {
      const bed = await openTestBed()
      const app = express()
      const keyGenerator = (): string => 'user-7'
      const dimensions = (): Record<string, string> => ({ group: 'students', tenant: 'school' })
      app.use(identifyKey({ quota: bed.quota, keyGenerator, dimensions }), (req, res) => res.json(req.quota!.subject))
      const url = await bed.serve(app)
      expect((await ask(url)).json).to.deep.equal({
        id: 'user-7',
        standing: 'registered',
        tenant: 'school',
        dimensions: { tenant: 'school', key: 'user-7', group: 'students' },
      })
    })

    it('writes numbers of the host as texts, and leaves out what a caller does not have', async () => {
      const bed = await openTestBed()
      const app = express()
      const dimensions = (): Record<string, string | number | undefined> => ({ project: 12, group: undefined })
      app.use(identifyKey({ quota: bed.quota, keyGenerator: () => 7, dimensions }), (req, res) =>
        res.json(req.quota!.subject),
      )
      expect((await ask(await bed.serve(app))).json).to.deep.include({
        id: '7',
        dimensions: { tenant: 'default', key: '7', project: '12' },
      })
    })

    const WRONG: readonly { of: object; says: string }[] = [
      { of: { dimensions: () => ({ group: ['a', 'b'] }) }, says: 'dimensions().group is a list' },
      { of: { dimensions: () => ({ group: null }) }, says: 'dimensions().group is null' },
      { of: { dimensions: () => ({ tenant: { id: 1 } }) }, says: 'dimensions().tenant is an object' },
      { of: { dimensions: () => ({ user: Number.NaN }) }, says: 'dimensions().user is NaN' },
      { of: { dimensions: async () => ({ user: 'ann' }) }, says: 'dimensions() is a promise' },
      { of: { keyGenerator: () => ['ann', 'bob'] }, says: 'keyGenerator() is a list' },
      { of: { keyGenerator: async () => ({ id: 'ann' }) }, says: 'keyGenerator() is an object' },
      { of: { groups: () => 'staff' }, says: 'groups() is a string' },
      { of: { groups: () => ['staff', undefined] }, says: 'groups()[1] is undefined' },
    ]
    for (const { of, says } of WRONG) {
      it(`fails a request, counts and records nothing, and says so once, where ${says}`, async () => {
        const bed = await openTestBed({ plans: [plan(1)], defaultPlans: ['pro'] })
        const app = express()
        const caught: unknown[] = []
        app.use('/wrong', quotaMiddleware({ quota: bed.quota, ...(of as object) }))
        app.use('/right', quotaMiddleware({ quota: bed.quota }))
        app.use((_req, res) => res.json({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } }))
        app.use(((error, _req, res, _next) => {
          caught.push(error)
          res.sendStatus(500)
        }) as import('express').ErrorRequestHandler)
        const url = await bed.serve(app)
        const path = '/v1/chat/completions'
        for (let times = 0; times < 2; times += 1) expect((await ask(`${url}/wrong${path}`)).status).to.equal(500)
        expect(caught.map((error) => isQuotaError(error, 'ERR_QUOTA_CONFIG'))).to.deep.equal([true, true])
        expect(String(caught[0])).to.include(says)
        expect(bed.logged.filter((message) => message.includes(says))).to.have.length(1)
        expect((await ask(`${url}/right${path}`)).status).to.equal(200)
        expect(await bed.entries()).to.have.length(1)
      })
    }

    it('resolvePlan names the plans of the caller', async () => {
      const bed = await openTestBed({ plans: [plan(5)], defaultPlans: ['pro'] })
      const app = express()
      app.use(identifyKey({ quota: bed.quota }), resolvePlan({ quota: bed.quota }), (req, res) =>
        res.json(req.quota!.plans.plans.map(({ name }) => name)),
      )
      expect((await ask(await bed.serve(app))).json).to.deep.equal(['pro'])
    })

    it('estimateUsage names the model, and leaves the request as it was', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use(estimateUsage({ quota: bed.quota }), express.json(), (req, res) =>
        res.json({ model: req.quota!.model, body: req.body as unknown }),
      )
      expect((await ask(await bed.serve(app))).json).to.deep.equal({ model: 'gpt-4o', body: HELLO })
    })

    it('enforceLimits holds what a call may use until its answer has ended', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use(
        identifyKey({ quota: bed.quota }),
        resolvePlan({ quota: bed.quota, plan: plan(1) }),
        enforceLimits({ quota: bed.quota }),
        (req, res) => res.json(req.quota!.statuses.map(({ used, remaining }) => [used, remaining])),
      )
      const url = await bed.serve(app)
      expect((await ask(url)).json).to.deep.equal([[1, 0]])
      expect((await ask(url)).status).to.equal(429)
      expect(bed.quota.pending).to.equal(0)
    })

    it('meterUsage and settleUsage record what a handler answers in the shape of a provider', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use(identifyKey({ quota: bed.quota }), meterUsage({ quota: bed.quota }), settleUsage({ quota: bed.quota }))
      app.use((_req, res) => res.json({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } }))
      await ask(await bed.serve(app))
      const [entry] = await bed.entries()
      expect(entry!.usage).to.deep.include({ basis: 'reported', inputTokens: 3, outputTokens: 4, totalTokens: 7 })
    })

    it('req.quota.record tells what a handler knows, on any route', async () => {
      const bed = await openTestBed({
        plans: [{ ...plan(9), limits: [{ ...plan(9).limits[0]!, unit: 'tokens', quota: 99, name: 'tokens' }] }],
        defaultPlans: ['pro'],
      })
      const app = express()
      app.use(quotaMiddleware({ quota: bed.quota }))
      app.post('/summarise', (req, res) => {
        req.quota!.record({ inputTokens: 1, outputTokens: 1 })
        req.quota!.record({
          inputTokens: 30,
          outputTokens: 12,
          model: 'in-house',
          provider: 'ours',
          operation: 'summary',
        })
        res.send('short')
      })
      const url = await bed.serve(app)
      expect((await ask(`${url}/summarise`)).text).to.equal('short')
      const [entry] = await bed.entries()
      expect(entry).to.include({ model: 'in-house', provider: 'ours', operation: 'summary', status: 200 })
      expect(entry!.usage).to.include({ inputTokens: 30, outputTokens: 12, totalTokens: 42 })
      expect(await bed.used('tokens')).to.equal(42)
    })

    it('a step that misses an earlier one says which, through next(error)', async () => {
      const bed = await openTestBed()
      const app = express()
      const caught: unknown[] = []
      app.use('/plan', resolvePlan({ quota: bed.quota }))
      app.use('/proxy', llmProxy({ target: bed.provider.url }))
      app.use(((error, _req, res, _next) => {
        caught.push(error)
        res.sendStatus(500)
      }) as import('express').ErrorRequestHandler)
      const url = await bed.serve(app)
      await ask(`${url}/plan`)
      await ask(`${url}/proxy`)
      expect(caught.map((error) => isQuotaError(error, 'ERR_QUOTA_MIDDLEWARE_ORDER'))).to.deep.equal([true, true])
      expect(String(caught[0])).to.include('use identifyKey() before this middleware')
    })

    it('errors of the options’ own functions reach next(error), once, and hold nothing', async () => {
      const bed = await openTestBed()
      const app = express()
      let caught = 0
      const fail = (): never => {
        throw new Error('their own')
      }
      app.use(quotaMiddleware({ quota: bed.quota, limit: 5, plan: fail }))
      app.use(((_error, _req, res, _next) => {
        caught += 1
        res.sendStatus(500)
      }) as import('express').ErrorRequestHandler)
      const { status } = await ask(await bed.serve(app))
      expect([status, caught]).to.deep.equal([500, 1])
      expect(bed.quota.pending).to.equal(0)
      expect(await bed.entries()).to.deep.equal([])
    })
  })
}
