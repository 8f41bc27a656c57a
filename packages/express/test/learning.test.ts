import {
  MemoryCalibrationStore,
  QuotaError,
  type CalibrationSeries,
  type CalibrationStore,
  type Plan,
} from '@tallygate/core'
import {
  enforceLimits,
  estimateUsage,
  identifyKey,
  llmProxy,
  meterUsage,
  resolvePlan,
  settleUsage,
} from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, openTestBed, proxied, type TestBed } from './test-bed.ts'

const OUTPUT: Plan = {
  name: 'p',
  limits: [{ name: 'output', unit: 'output-tokens', quota: 1_000_000, window: { kind: 'lifetime' } }],
}
/** Tokens that a provider puts before each prompt, which nobody can see. */
const PREAMBLE = 430

async function served(options: Partial<QuotaOptions> = {}, provider?: string): Promise<{ bed: TestBed; url: string }> {
  const bed = await openTestBed(options)
  return { bed, url: await proxied(bed, provider === undefined ? {} : { provider }) }
}

/** What was recorded of the input of a call whose provider states nothing. */
async function estimated({ bed, url }: { bed: TestBed; url: string }): Promise<number> {
  bed.provider.script = { statesUsage: 'never' }
  await ask(url, { body: HELLO })
  const { usage } = (await bed.entries()).at(-1)!
  expect(usage!.basis).to.equal('estimated')
  return usage!.inputTokens!
}

/** Calls whose provider states what they used, with its preamble. */
async function reported({ bed, url }: { bed: TestBed; url: string }, input: number, times: number): Promise<void> {
  bed.provider.script = { usage: { input } }
  for (let call = 0; call < times; call += 1) {
    bed.clock.advance(1_000)
    await ask(url, { body: HELLO })
  }
}

const HELLO = { model: 'qwen3-32b', stream: true, messages: [{ role: 'user', content: 'What is the weather like?' }] }

describe('what a quota learns of estimates', () => {
  let workers: string[] = []
  const started = (worker: { readonly threadName?: string | null }): void =>
    void workers.push(String(worker.threadName))
  beforeEach(() => {
    workers = []
    process.on('worker', started as never)
  })
  afterEach(async () => {
    process.off('worker', started as never)
    await closeTestBeds()
  })

  it('loads no tokenizer while providers report usage', async () => {
    const served1 = await served()
    await reported(served1, 500, 20)
    expect((await served1.bed.entries()).map(({ usage }) => usage!.basis)).to.deep.equal(
      Array.from({ length: 20 }, () => 'reported'),
    )
    expect(workers).to.deep.equal([])
  })

  it('counts some calls once the tokenizer is there, and puts the next estimate right', async () => {
    const all = await served()
    const counted = await estimated(all)
    expect(workers).to.have.length(1)
    let found = counted
    for (let round = 0; round < 20 && found !== counted + PREAMBLE; round += 1) {
      await reported(all, counted + PREAMBLE, 5)
      found = await estimated(all)
    }
    expect(found).to.equal(counted + PREAMBLE)
  })

  it('counts calls from the first on where it is told to, and none where it is told not to', async () => {
    const always = await served({ sampleCounts: 'always' })
    await reported(always, 500, 1)
    expect(workers).to.have.length(1)
    const never = await served({ sampleCounts: 'never' })
    const counted = await estimated(never)
    await reported(never, counted + PREAMBLE, 20)
    expect(await estimated(never)).to.equal(counted)
  })

  it('learns from calls that had to be counted to decide on them, whatever it is told', async () => {
    const plan: Plan = {
      name: 'p',
      limits: [{ name: 'input', unit: 'input-tokens', quota: 100, window: { kind: 'concurrent' } }],
    }
    const limits = [{ ...plan.limits[0]!, window: { kind: 'fixed', every: 'second' } }] as const
    const all = await served({ plans: [{ ...plan, limits }], defaultPlans: ['p'], sampleCounts: 'never' })
    const counted = await estimated(all)
    await reported(all, counted + 20, 6)
    all.bed.clock.advance(1_000)
    expect(await estimated(all)).to.equal(counted + 20)
  })

  it('keeps what it has learned in a store, and goes on from there', async () => {
    const calibrationStore = new MemoryCalibrationStore()
    const first = await served({ calibrationStore, sampleCounts: 'always' })
    const counted = await estimated(first)
    for (let round = 0; round < 20; round += 1) await reported(first, counted + PREAMBLE, 1)
    await first.bed.quota.close()
    const names = (await calibrationStore.load({ offset: 0, limit: 100 })).map(({ name }) => name)
    expect(names.filter((name) => name.startsWith('count '))).to.have.length.at.least(1)
    expect(names.filter((name) => name.startsWith('output '))).to.have.length(2)
    expect(names.join()).to.not.include('weather')
    const second = await served({ calibrationStore })
    expect(await estimated(second)).to.equal(counted + PREAMBLE)
  })

  it('goes on without a store that fails, and tries again with what it did not take', async () => {
    const kept = new MemoryCalibrationStore()
    let isAway = true
    const calibrationStore: CalibrationStore = {
      load: () => Promise.reject(new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'away')),
      add: (series: readonly CalibrationSeries[]) =>
        isAway ? Promise.reject(new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'away')) : kept.add(series),
      close: () => Promise.resolve(),
    }
    const all = await served({ calibrationStore })
    await reported(all, 500, 3)
    await all.bed.quota.saveLearned()
    await reported(all, 500, 3)
    isAway = false
    await all.bed.quota.close()
    const [series] = await kept.load({ offset: 0, limit: 10 })
    expect(series!.samples).to.have.length(6)
    expect(all.bed.logged.join('\n')).to.include('could not be read').and.to.include('could not be saved')
  })
})

describe('outputEstimate', () => {
  afterEach(closeTestBeds)
  const body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] }

  /** What was set aside for the output of calls that use so much, one after the other. */
  async function reserved(
    options: Partial<QuotaOptions>,
    asked: object,
    outputs: readonly number[],
  ): Promise<number[]> {
    const { bed, url } = await served({ plans: [OUTPUT], defaultPlans: ['p'], ...options })
    for (const output of outputs) {
      bed.provider.script = { usage: { output } }
      expect((await ask(url, { body: { ...body, ...asked } })).status).to.equal(200)
      bed.clock.advance(10)
    }
    return (await bed.entries()).map(({ charges }) => charges[0]!.reserved)
  }

  it('goes by what such calls have needed, where the caller states no ceiling', async () => {
    expect(await reserved({}, {}, [200, 300, 250, 100, 280, 90])).to.deep.equal([
      1_024, 1_024, 1_024, 1_024, 1_024, 450,
    ])
  })

  it('learns of a provider by its name, also where that is known only when the call is metered', async () => {
    const options = { plans: [OUTPUT], defaultPlans: ['p'] }
    const named = await served(options, 'groq')
    const steps = await openTestBed(options)
    const { quota } = steps
    const app = express().use(
      identifyKey({ quota }),
      resolvePlan({ quota }),
      estimateUsage({ quota }),
      enforceLimits({ quota }),
      meterUsage({ quota, provider: 'groq' }),
      settleUsage({ quota }),
      llmProxy({ target: steps.provider.url }),
    )
    for (const { bed, url } of [named, { bed: steps, url: await steps.serve(app) }]) {
      bed.provider.script = { usage: { output: 200 } }
      for (let call = 0; call < 6; call += 1) {
        expect((await ask(url, { body })).status).to.equal(200)
        bed.clock.advance(10)
      }
      const last = (await bed.entries()).at(-1)!
      expect(last.provider).to.equal('groq')
      expect(last.charges[0]!.reserved).to.equal(300)
    }
  })

  it('stays with the ceiling that the caller states', async () => {
    expect(await reserved({}, { max_tokens: 4_000 }, [1, 1, 1, 1, 1, 1])).to.deep.equal(Array(6).fill(4_000))
  })

  it('goes by what such calls have needed under a ceiling too, where that is asked for', async () => {
    const learned = { outputEstimate: 'learned' } as const
    expect(await reserved(learned, { max_tokens: 4_000 }, [200, 300, 250, 100, 280, 90])).to.deep.equal([
      4_000, 4_000, 4_000, 4_000, 4_000, 450,
    ])
  })

  it('multiplies by the answers that are asked for, so that many are no way around it', async () => {
    expect((await reserved({}, { n: 4 }, [400, 400, 400, 400, 400, 400])).at(-1)).to.equal(600)
  })

  it('leaves half of a quota to the input, so that no guess is in the way of a call for ever', async () => {
    const small = {
      ...OUTPUT,
      limits: [{ ...OUTPUT.limits[0]!, quota: 1_000, window: { kind: 'fixed', every: 'second' } }],
    }
    const { bed, url } = await served({ plans: [small as Plan], defaultPlans: ['p'] })
    bed.provider.script = { usage: { output: 900 } }
    for (let call = 0; call < 8; call += 1) {
      expect((await ask(url, { body })).status, `call ${call}`).to.equal(200)
      bed.clock.advance(1_000)
    }
    expect((await bed.entries()).at(-1)!.charges[0]!.reserved).to.equal(500)
  })
})
