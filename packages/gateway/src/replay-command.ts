import { QuotaError } from '@tallygate/core'
import { TokenCounter } from '@tallygate/metering'
import { readBody, readRecordings, type Recording } from './recordings.ts'
import { cutBySeed, replay, type Coding, type Replayed } from './replay.ts'

/** Options of `tallygate replay`. */
export interface ReplayCommandOptions {
  readonly json?: boolean
  readonly provider?: string
  readonly api?: string
  readonly rechunk?: string
  readonly compress?: string
}

/** Where lines go. */
export interface ReplayOutput {
  line(text: string): void
  mistake(text: string): void
}

const CODINGS: readonly Coding[] = ['gzip', 'br', 'zstd']
const MOST_SEED = 0xffff_ffff

/**
 * Replays the recordings of an index through the metering of a live call. Returns whether all are read as expected, and
 * let through unchanged.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for options and files that can't be used.
 */
export async function replayCommand(
  index: string,
  options: ReplayCommandOptions,
  output: ReplayOutput,
): Promise<boolean> {
  const { json = false, provider, api, rechunk, compress } = options
  const seed = rechunk === undefined ? undefined : seedOf(rechunk)
  const coding = compress === undefined ? undefined : codingOf(compress)
  const recordings = readRecordings(index).filter(
    (row) => (provider === undefined || row.provider === provider) && (api === undefined || row.api === api),
  )
  if (recordings.length === 0)
    throw wrong(
      `${index} has no recording${provider === undefined && api === undefined ? '' : ' of that provider and API'}`,
    )
  const cut = seed === undefined ? {} : { cut: cutBySeed(seed) }
  const counter = new TokenCounter()
  const sums = new Map<string, Sum>()
  try {
    for (const recording of recordings) {
      const replayed = await replay(recording, readBody(index, recording), { ...cut, compress: coding, counter })
      add(sums, recording, replayed)
      const { id, usage, basis, mistakes } = replayed
      for (const mistake of mistakes) output.mistake(`${id} (${recording.provider} ${recording.api}): ${mistake}`)
      if (json) output.line(JSON.stringify({ id, usage, basis }))
    }
  } finally {
    await counter.close()
  }
  if (!json) for (const line of tableOf(sums)) output.line(line)
  return [...sums.values()].every(({ wrong: count }) => count === 0)
}

function seedOf(text: string): number {
  const seed = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(seed <= MOST_SEED)) throw wrong(`--rechunk is ${text}: use a seed from 0 to ${MOST_SEED}`)
  return seed
}

function codingOf(text: string): Coding {
  const coding = CODINGS.find((each) => each === text)
  if (coding === undefined) throw wrong(`--compress is ${text}: use one of ${CODINGS.join(', ')}`)
  return coding
}

function wrong(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_CONFIG', message)
}

/** Recordings of one provider and API. */
interface Sum {
  rows: number
  withUsage: number
  wrong: number
}

function add(sums: Map<string, Sum>, { provider, api }: Recording, { usage, mistakes }: Replayed): void {
  const name = `${provider} ${api}`
  const sum = sums.get(name) ?? { rows: 0, withUsage: 0, wrong: 0 }
  sum.rows += 1
  if (usage !== null) sum.withUsage += 1
  if (mistakes.length > 0) sum.wrong += 1
  sums.set(name, sum)
}

function tableOf(sums: ReadonlyMap<string, Sum>): readonly string[] {
  const all = { rows: 0, withUsage: 0, wrong: 0 }
  const rows = [...sums].toSorted(([one], [other]) => (one < other ? -1 : 1))
  for (const [, sum] of rows) for (const name of ['rows', 'withUsage', 'wrong'] as const) all[name] += sum[name]
  const width = Math.max(...rows.map(([name]) => name.length), 'all'.length)
  const line = (name: string, ...cells: readonly (string | number)[]): string =>
    `${name.padEnd(width)}${cells.map((cell) => String(cell).padStart(12)).join('')}`
  return [
    line('', 'recordings', 'with usage', 'wrong'),
    ...rows.map(([name, sum]) => line(name, sum.rows, sum.withUsage, sum.wrong)),
    line('all', all.rows, all.withUsage, all.wrong),
  ]
}
