import type { CounterStore } from '@tallygate/core'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { modelSequences, type ModelSequence } from './model-command.ts'
import { ModelRun } from './model-run.ts'
import { runs } from './runs.ts'
import { SettableClock } from './settable-clock.ts'

export interface CounterStoreModelOptions {
  /** Sequences of commands, times `FC_TIMES`. Default: 2,000. */
  readonly sequences?: number
  /** Sequences under way at once, which hides round trips. Default: 1. */
  readonly parallel?: number
  /** 2: some limits belong to a wider owner. Default: 1. */
  readonly owners?: 1 | 2
  /** Whether `sweep` lists at once all that expired. Default: yes. */
  readonly sweepsAtOnce?: boolean
  /**
   * Least step of the clock, in ms, which divides every window: 1,000 for a store that lets the server forget what ends, as
   * a server's own clock goes on while that of the test stands still. Default: 1.
   */
  readonly stepMs?: 1 | 1_000
  /** Of a failure, to replay it. */
  readonly seed?: number
}

/** Sequences drawn at a time, so that a long run needs no more memory than a short one. */
const DRAWN = 200

/**
 * Takes a store and an oracle through random sequences of commands, as a test for mocha: no answer differs.
 *
 * @param open Returns a store without counters that goes by the clock, remembers closed ids for two hours at least, and
 *   shares nothing with any other. A second one for a sequence stands for a store that has lost everything.
 */
export function describeCounterStoreModel(
  name: string,
  open: (clock: SettableClock) => Promise<CounterStore>,
  options: CounterStoreModelOptions = {},
): void {
  const { sequences = 2_000, parallel = 1, owners = 1, sweepsAtOnce = true, stepMs = 1 } = options
  let expires = true
  const run = async (sequence: ModelSequence): Promise<void> => {
    const clock = new SettableClock()
    await new ModelRun(sequence, { clock, open: () => open(clock), owners, expires, sweepsAtOnce, stepMs }).run()
  }

  describe(`${name}, beside an oracle`, () => {
    it(`answers as it does, in ${runs(sequences).toLocaleString('en')} sequences of commands`, async function () {
      this.timeout(Math.min(600_000, 60_000 + runs(sequences) * 60))
      const store = await open(new SettableClock())
      const arbitrary = modelSequences(store.capabilities)
      expires = store.capabilities.has('expiry')
      await store.close()
      const firstSeed = options.seed ?? Math.floor(Math.random() * 2 ** 31)
      for (let done = 0; done < runs(sequences); done += DRAWN) {
        const seed = (firstSeed + done) % 2 ** 31
        const drawn = fc.sample(arbitrary, { seed, numRuns: Math.min(DRAWN, runs(sequences) - done) })
        const failed = await firstFailure(drawn, parallel, run)
        if (failed !== undefined) await shrink(arbitrary, seed, failed, run)
      }
    })
  })
}

/** Runs sequences side by side; the number of the first that fails, and why. */
async function firstFailure(
  drawn: readonly ModelSequence[],
  parallel: number,
  run: (sequence: ModelSequence) => Promise<void>,
): Promise<{ readonly number: number; readonly reason: unknown } | undefined> {
  const left = [...drawn.entries()].reverse()
  const failed: { readonly number: number; readonly reason: unknown }[] = []
  const lane = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined && failed.length === 0; next = left.pop()) {
      const [number, sequence] = next
      await run(sequence).catch((reason: unknown) => void failed.push({ number, reason }))
    }
  }
  await Promise.all(Array.from({ length: parallel }, lane))
  return failed[0]
}

/** Fails with the shortest sequence that does. */
async function shrink(
  arbitrary: fc.Arbitrary<ModelSequence>,
  seed: number,
  { number, reason }: { readonly number: number; readonly reason: unknown },
  run: (sequence: ModelSequence) => Promise<void>,
): Promise<never> {
  await fc.assert(fc.asyncProperty(arbitrary, run), { seed, path: String(number), numRuns: number + 1 })
  throw new Error(`sequence ${number} of seed ${seed} failed once, and not when it was run again`, { cause: reason })
}
