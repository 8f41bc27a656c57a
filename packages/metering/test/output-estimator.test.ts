import { OutputEstimator, type OutputKey } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const KEY: OutputKey = { tenant: 't', subject: 'alice', provider: 'openai', operation: 'chat', model: 'gpt-4o' }

function observed(outputs: readonly number[], key = KEY): OutputEstimator {
  const estimator = new OutputEstimator()
  for (const [at, output] of outputs.entries()) estimator.observe(key, output, at)
  return estimator
}
const times = (count: number, output: number): number[] => Array.from({ length: count }, () => output)

describe('OutputEstimator', () => {
  it('knows nothing until five answers have ended, and then leaves half as much again', () => {
    expect(observed([100, 100, 100, 90]).estimate(KEY)).to.equal(undefined)
    expect(observed([100, 60, 80, 90, 40]).estimate(KEY)).to.equal(150)
  })

  it('passes over the one in twenty that is longer, with many answers', () => {
    expect(observed([...times(62, 100), 9_000, 8_000]).estimate(KEY)).to.equal(110)
  })

  it('sets aside enough for 19 of 20, and much less than a ceiling of 4,096', () => {
    // Lengths as answers have them: most are short, some are long.
    const lengths = fc
      .sample(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), {
        numRuns: 3_000,
        seed: 11,
      })
      .map(([one, other]) => Math.ceil(Math.exp(5 + one + other)))
    const estimator = new OutputEstimator()
    let [short, reserved, asked] = [0, 0, 0]
    for (const [at, length] of lengths.entries()) {
      const estimate = estimator.estimate(KEY)
      if (estimate !== undefined) {
        asked += 1
        reserved += estimate
        if (length > estimate) short += 1
      }
      estimator.observe(KEY, length, at)
    }
    expect(short / asked).to.be.below(0.05)
    expect(reserved / asked).to.be.below(2_048)
  })

  it('follows answers that become shorter', () => {
    expect(observed([...times(64, 5_000), ...times(64, 10)]).estimate(KEY)).to.equal(11)
  })

  it('goes by the others of the tenant for a key that is new, and by nobody of another tenant', () => {
    const estimator = observed([100, 100, 100, 100, 100])
    expect(estimator.estimate({ ...KEY, subject: 'bob' })).to.equal(150)
    for (const other of [{ tenant: 'u' }, { model: 'gpt-4' }, { model: undefined }, { operation: 'embeddings' }])
      expect(estimator.estimate({ ...KEY, ...other })).to.equal(undefined)
    for (let at = 0; at < 5; at += 1) estimator.observe({ ...KEY, subject: 'bob' }, 10, 100 + at)
    expect(estimator.estimate({ ...KEY, subject: 'bob' })).to.equal(15)
  })

  it('learns of each of several answers, and multiplies by those that are asked for', () => {
    const estimator = new OutputEstimator()
    for (let at = 0; at < 5; at += 1) estimator.observe(KEY, 400, at, 4)
    expect(estimator.estimate(KEY)).to.equal(150)
    expect(estimator.estimate(KEY, 128)).to.equal(128 * 150)
  })

  it('goes on from what a store has kept', () => {
    const first = new OutputEstimator()
    const second = new OutputEstimator()
    for (let at = 0; at < 5; at += 1) for (const series of first.observe(KEY, 100, at)) second.seed(series)
    expect(second.estimate(KEY)).to.equal(first.estimate(KEY))
  })

  it('keeps what was used last, whatever names callers make up', () => {
    const estimator = new OutputEstimator({ mostSeries: 10 })
    for (let at = 0; at < 5; at += 1) estimator.observe(KEY, 100, at)
    for (let at = 0; at < 50; at += 1) estimator.observe({ ...KEY, model: `m${at}` }, 100, at)
    expect(estimator.estimate(KEY)).to.equal(undefined)
    const figure = fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -1, 2 ** 60, 0))
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(figure), figure, (model, outputs, answers) => {
        const hostile = { ...KEY, model }
        for (const [at, output] of outputs.entries()) estimator.observe(hostile, output, at, answers)
        const estimate = estimator.estimate(hostile)
        expect(estimate === undefined || estimate >= 0).to.equal(true)
      }),
      { numRuns: runs(200) },
    )
  })
})
