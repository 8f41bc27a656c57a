import { SAMPLES_KEPT, type CalibrationSample, type CalibrationSeries, type CalibrationStore } from '@tallygate/core'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

/** How a test opens the store under test: empty, and keeping at most so many series. */
export type OpenCalibrationStore = (most: number) => Promise<CalibrationStore>

const MOST = 20
const at = (atMs: number, counted = 10, reported = 12): CalibrationSample => ({ counted, reported, atMs })
const series = (name: string, ...samples: readonly CalibrationSample[]): CalibrationSeries => ({ name, samples })

/**
 * The contract of `CalibrationStore`, as tests for mocha. Call it in the test file of an implementation.
 *
 * @param open Called before each test; returns a store that no earlier test has written to.
 */
export function describeCalibrationStore(name: string, open: OpenCalibrationStore): void {
  describe(`${name} as a CalibrationStore`, () => {
    let store: CalibrationStore
    const all = (): Promise<readonly CalibrationSeries[]> => store.load({ offset: 0, limit: 1_000 })
    beforeEach(async () => {
      store = await open(MOST)
    })
    afterEach(() => store.close())

    it('knows nothing at first, and takes nothing', async () => {
      await store.add([])
      expect(await all()).to.deep.equal([])
    })

    it('gives back what was added, in the order of time, whoever added it when', async () => {
      await store.add([series('a', at(3)), series('b', at(1, 0, 7))])
      await store.add([series('a', at(1), at(5, 2 ** 52 - 1, 0))])
      const found = new Map((await all()).map(({ name: each, samples }) => [each, samples]))
      expect(found.get('a')).to.deep.equal([at(1), at(3), at(5, 2 ** 52 - 1, 0)])
      expect(found.get('b')).to.deep.equal([at(1, 0, 7)])
    })

    it('adds a sample once, however often it is added, and two that differ twice', async () => {
      const twins = series('a', at(1), at(1, 10, 13), at(1, 11))
      await store.add([twins, twins])
      await store.add([twins])
      expect((await all())[0]!.samples).to.deep.equal(twins.samples)
    })

    it(`keeps the latest ${SAMPLES_KEPT} samples of a series`, async () => {
      const samples = Array.from({ length: SAMPLES_KEPT }, (_, index) => at(100 + index))
      await store.add([series('a', ...samples)])
      await store.add([series('a', at(1), at(1_000))])
      expect((await all())[0]!.samples).to.deep.equal([...samples.slice(1), at(1_000)])
    })

    it('has those first that learned last, page by page', async () => {
      for (const each of ['a', 'b', 'c', 'd', 'a']) await store.add([series(each, at(1)), series(each, at(2))])
      const names = async (offset: number, limit: number): Promise<string[]> =>
        (await store.load({ offset, limit })).map(({ name: each }) => each)
      expect(await names(0, 10)).to.deep.equal(['a', 'd', 'c', 'b'])
      expect(await names(0, 3)).to.deep.equal(['a', 'd', 'c'])
      expect(await names(3, 3)).to.deep.equal(['b'])
      expect(await names(4, 3)).to.deep.equal([])
    })

    it('forgets the series that have not learned for the longest when there are too many', async () => {
      for (let index = 0; index < MOST; index += 1) await store.add([series(`s${index}`, at(index))])
      await store.add([series('s0', at(100))])
      await store.add([series('new', at(100)), series('newer', at(100))])
      const names = (await all()).map(({ name: each }) => each)
      expect(names).to.have.length(MOST)
      expect(names).to.include.members(['s0', 'new', 'newer', 's3']).and.not.include.members(['s1', 's2'])
    })

    it('takes names as they are, whatever SQL or JavaScript would make of them', async () => {
      const names = [
        "'; drop table calibration; --",
        '__proto__',
        'constructor',
        '% _ \\',
        '\u{1f600}',
        ' a',
        'a ',
        'A',
      ]
      await store.add(names.map((each) => series(each, at(1))))
      expect((await all()).map(({ name: each }) => each)).to.have.members(names)
    })

    it('passes over what is no sample and no name, and takes the rest', async () => {
      const wrong = [at(NaN), at(-1), at(1, 1.5), at(1, 1, Infinity), at(1, 2 ** 60), { atMs: 1 } as CalibrationSample]
      await store.add([series('a', ...wrong, at(2)), series('b', ...wrong), series('', at(1))])
      await store.add([series('x'.repeat(1_025), at(1)), series('y'.repeat(1_024), at(1))])
      expect((await all()).map(({ samples }) => samples)).to.deep.equal([[at(1)], [at(2)]])
    })
  })
}
