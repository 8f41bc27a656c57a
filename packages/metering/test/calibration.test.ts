import { Calibration, type CalibrationKey } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const KEY: CalibrationKey = { provider: 'anthropic', model: 'claude-sonnet-4-6', part: 'prompt', kind: 'text' }

/** What a provider reports of prompts of these counts. */
function observed(counts: readonly number[], report: (counted: number) => number, key = KEY): Calibration {
  const calibration = new Calibration()
  for (const [index, counted] of counts.entries()) calibration.observe(key, counted, report(counted), index)
  return calibration
}

describe('Calibration', () => {
  it('leaves a count as it is until five calls were observed', () => {
    const calibration = observed([100, 200, 300, 400], (counted) => counted + 430)
    expect(calibration.estimate(KEY, 1_000)).to.deep.equal({ tokens: 1_000, upper: undefined, samples: 4 })
    calibration.observe(KEY, 500, 930, 5)
    expect(calibration.estimate(KEY, 1_000)).to.include({ tokens: 1_430, samples: 5 })
  })

  const table: readonly (readonly [what: string, report: (counted: number) => number])[] = [
    ['a preamble that the provider puts before each prompt', (counted) => counted + 430],
    ['another tokenizer', (counted) => Math.round(counted * 1.43)],
    ['both', (counted) => Math.round(counted * 1.16 + 180)],
    ['nothing, where the counts are right', (counted) => counted],
  ]
  for (const [what, report] of table) {
    it(`learns ${what}, also for prompts much larger than it has seen`, () => {
      const calibration = observed([20, 55, 130, 300, 700, 90, 240], report)
      for (const counted of [25, 180, 5_000, 60_000])
        expect(calibration.estimate(KEY, counted).tokens).to.be.closeTo(report(counted), 1 + report(counted) / 100)
    })
  }

  it('is not led astray by a few calls that were something else', () => {
    const calibration = observed([20, 55, 130, 300, 700, 90, 240, 410, 60], (counted) => counted + 100)
    calibration.observe(KEY, 100, 90_000, 20)
    calibration.observe(KEY, 50_000, 3, 21)
    expect(calibration.estimate(KEY, 1_000).tokens).to.equal(1_100)
  })

  describe('of several tenants', () => {
    const mine = { ...KEY, tenant: 'mine' }
    const hostile = { ...KEY, tenant: 'hostile' }
    /** What they might send so that it is counted wrong: much that is ignored, or little that stands for much. */
    const tricks: readonly (readonly [what: string, report: (counted: number) => number])[] = [
      ['less', () => 1],
      ['more', (counted) => counted * 900 + 1_000_000],
    ]
    for (const [what, report] of tricks) {
      it(`changes nothing for one that has calls of its own where others report far ${what}`, () => {
        const calibration = observed([20, 55, 130, 300, 700], (counted) => counted + 100, mine)
        const before = calibration.estimate(mine, 1_000)
        for (let at = 0; at < 200; at += 1) calibration.observe(hostile, 100 + 7 * at, report(100 + 7 * at), 100 + at)
        expect(before.tokens).to.equal(1_100)
        expect(calibration.estimate(mine, 1_000)).to.deep.equal(before)
      })

      it(`stays within bounds for one that is new where others report far ${what}`, () => {
        const calibration = new Calibration()
        for (let at = 0; at < 200; at += 1) calibration.observe(hostile, 100 + 7 * at, report(100 + 7 * at), at)
        for (const counted of [1, 107, 1_000, 100_000]) {
          const { tokens, upper } = calibration.estimate(mine, counted)
          expect(tokens).to.be.within(counted / 2, counted * 2 + 1_024)
          expect(upper).to.be.within(counted, counted * 2 + 1_024)
        }
        const own = calibration.estimate(hostile, 1_000)
        expect(own.tokens).to.be.within(250, 4_000 + 4_096)
      })
    }

    it('goes by the calls of all until it has five of its own', () => {
      const calibration = observed([20, 55, 130, 300, 700], (counted) => counted + 100, hostile)
      expect(calibration.estimate(mine, 1_000)).to.include({ tokens: 1_100, samples: 5 })
      for (const [at, counted] of [30, 60, 90, 400, 800].entries())
        calibration.observe(mine, counted, counted + 40, 50 + at)
      expect(calibration.estimate(mine, 1_000).tokens).to.equal(1_040)
    })
  })

  it('follows a provider that changes', () => {
    const calibration = observed([20, 55, 130, 300, 700], (counted) => counted)
    for (let at = 0; at < 64; at += 1)
      calibration.observe(KEY, 50 + 20 * at, Math.round((50 + 20 * at) * 1.3), 100 + at)
    expect(calibration.estimate(KEY, 2_000).tokens).to.be.closeTo(2_600, 30)
  })

  it('keeps models, parts and kinds of requests apart', () => {
    const calibration = observed([20, 55, 130, 300, 700], (counted) => counted + 430)
    const others: readonly Partial<CalibrationKey>[] = [
      { provider: 'cohere' },
      { model: 'claude-3-haiku' },
      { model: undefined },
      { part: 'completion' },
      { kind: 'tools' },
    ]
    for (const other of others) expect(calibration.estimate({ ...KEY, ...other }, 100).samples).to.equal(0)
    expect(calibration.estimate({ ...KEY, model: ' Claude-Sonnet-4-6' }, 100).samples).to.equal(5)
  })

  it('has an upper figure that at most one of ten like calls exceeds', () => {
    // A spread that goes by nothing that is known: what the text is made of.
    const random = fc.sample(fc.tuple(fc.integer({ min: 20, max: 4_000 }), fc.integer({ min: 90, max: 140 })), {
      numRuns: 2_064,
      seed: 7,
    })
    const calibration = new Calibration()
    let exceeded = 0
    for (const [index, [counted, share]] of random.entries()) {
      const reported = Math.round((counted * share) / 100)
      const { upper, samples } = calibration.estimate(KEY, counted)
      if (samples === 64 && reported > upper!) exceeded += 1
      calibration.observe(KEY, counted, reported, index)
    }
    expect(exceeded / 2_000).to.be.within(0.02, 0.13)
  })

  it('goes on from what a store has kept, and learns nothing twice', () => {
    const first = new Calibration()
    const learned = [20, 55, 130, 300, 700].flatMap((counted, at) => first.observe(KEY, counted, counted + 430, at))
    const second = new Calibration()
    for (const series of [...learned, ...learned]) second.seed(series)
    expect(second.estimate(KEY, 1_000)).to.include({ tokens: 1_430, samples: 5 })
  })

  it('keeps the series that were used last, and no more than it may', () => {
    const calibration = new Calibration({ mostSeries: 4 })
    const key = (model: string): CalibrationKey => ({ ...KEY, model })
    for (const model of ['a', 'b', 'c', 'a', 'd', 'e']) calibration.observe(key(model), 10, 20, 1)
    expect(['a', 'b', 'd', 'e'].map((model) => calibration.samples(key(model)))).to.deep.equal([2, 0, 1, 1])
  })

  it('learns nothing of what is no count, and always answers with whole units', () => {
    const figure = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, NaN, Infinity, -1, 2 ** 60, 2 ** 52))
    fc.assert(
      fc.property(fc.array(fc.tuple(figure, figure, figure)), figure, fc.string(), (observations, counted, model) => {
        const calibration = new Calibration()
        const key = { ...KEY, model }
        for (const [each, reported, atMs] of observations) calibration.observe(key, each, reported, atMs)
        const { tokens, upper = tokens } = calibration.estimate(key, counted)
        expect(Number.isSafeInteger(tokens) && tokens >= 0).to.equal(true)
        expect(Number.isSafeInteger(upper) && upper >= tokens).to.equal(true)
      }),
      { numRuns: runs(300) },
    )
  })
})
