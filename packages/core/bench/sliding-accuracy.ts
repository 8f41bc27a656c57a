/**
 * What sliding windows refuse beyond what an exact log would: `node packages/core/bench/sliding-accuracy.ts [arrivals]`.
 * Prints the tables of the docs.
 */
import { ARRIVALS, LOADS, slidingAccuracy } from '../test/sliding-accuracy.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const SEED = 20_261_121

process.stdout.write(`${count.toLocaleString('en')} arrivals in each cell:
1. the share of calls that were refused though an exact log of what was admitted had room,
2. the longest such time, as a share of the window,
3. units admitted, as a share of those that an exact log would have admitted, had it decided from the beginning.
`)
for (const buckets of [10, 60]) {
  process.stdout.write(`\n| N = ${buckets} | ${LOADS.map((load) => `load ${load}`).join(' | ')} |\n`)
  process.stdout.write(`|---|${LOADS.map(() => '---').join('|')}|\n`)
  for (const arrivals of ARRIVALS) {
    const cells: string[] = []
    for (const load of LOADS) {
      const { tooMany, admittedShare, longestShare } = await slidingAccuracy({
        arrivals,
        load,
        buckets,
        count,
        seed: SEED,
      })
      cells.push([tooMany / count, longestShare, admittedShare].map(percent).join(', '))
    }
    process.stdout.write(`| ${arrivals} | ${cells.join(' | ')} |\n`)
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.001 ? 3 : 1)} %`
}
