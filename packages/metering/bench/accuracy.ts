import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Calibration, requestKind, TokenCounter, tokenFamily, type TokenTask } from '@tallygate/metering'
import { counted, readPairs, setOf, type Pair } from './pairs.ts'

/** From so many calls of the same provider and model on, what was learned of them counts. */
const OBSERVED = 5
const HELP = 'usage: npm run accuracy -- --pairs <pairs.jsonl> [--json]'

interface Row {
  readonly id: string
  readonly set: string
  readonly pair: Pair
  readonly estimated: { readonly input: number | null; readonly output: number | null }
  readonly reported: { readonly input: number | null; readonly output: number | null }
  /** What the estimate became by what was learned of the calls before it; absent before there were enough. */
  readonly learned: { input?: number; output?: number }
}

const { values } = parseArgs({ options: { pairs: { type: 'string' }, json: { type: 'boolean', default: false } } })
if (values.pairs === undefined) {
  console.error(HELP)
  process.exit(2)
}
const rows = await countAll(readPairs(readFileSync(values.pairs, 'utf8')))
if (values.json) {
  for (const { id, set, estimated, reported } of rows) {
    const { input, output } = reported
    console.log(JSON.stringify({ id, set, estimated, reported: { input, output } }))
  }
} else report(rows)

async function countAll(pairs: readonly Pair[]): Promise<readonly Row[]> {
  // Time is no question here: each text is counted to its end.
  const counter = new TokenCounter({ deadlineMs: 60_000 })
  const calibration = new Calibration()
  const found: Row[] = []
  for (const pair of pairs) {
    const set = setOf(pair)
    if (set === undefined) continue
    const { input, output } = counted(pair)
    const estimated = { input: await tokens(counter, input), output: await tokens(counter, output) }
    const { reported } = pair
    const learned: Row['learned'] = {}
    for (const part of ['input', 'output'] as const) {
      const [estimate, fact] = [estimated[part], reported[part]]
      if (estimate === null || fact === null) continue
      const kind = part === 'input' ? requestKind(pair.request) : 'text'
      const side = part === 'input' ? 'prompt' : 'completion'
      const key = {
        provider: pair.provider,
        model: pair.request.model ?? pair.model ?? undefined,
        part: side,
        kind,
      } as const
      if (calibration.samples(key) >= OBSERVED) learned[part] = calibration.estimate(key, estimate).tokens
      calibration.observe(key, estimate, fact, 0)
    }
    found.push({ id: pair.id, set, pair, estimated, reported, learned })
  }
  await counter.close()
  return found
}

async function tokens(counter: TokenCounter, task: TokenTask | undefined): Promise<number | null> {
  return task === undefined ? null : (await counter.count(task)).tokens
}

interface Compared {
  readonly estimated: number
  readonly reported: number
}

function report(all: readonly Row[]): void {
  const sets = [...new Set(all.map(({ set }) => set))].toSorted()
  console.log('| prompts | n | exact % | median err % | p95 err % |\n|---|---|---|---|---|')
  for (const set of sets) line(set, inputs(all.filter((row) => row.set === set)))
  const others = all.filter(({ pair }) => isOther(pair))
  line('**other families, static**', inputs(others))
  line(`**other families, after ${OBSERVED} calls**`, learnt(others, 'input'))
  line('the same calls, static', inputs(others.filter(({ learned }) => learned.input !== undefined)))
  console.log('\n| completions | n | exact % | within 1 % | median err % | p95 err % |\n|---|---|---|---|---|---|')
  const own = all.filter(({ pair }) => !isOther(pair) && (pair.provider === 'openai' || pair.provider === 'azure'))
  line('**OpenAI, plain text**', outputs(own.filter(isPlain)), true)
  line('OpenAI, tool calls', outputs(own.filter(({ pair }) => pair.output.toolCalls.length > 0 && !thinks(pair))), true)
  line('OpenAI, with thoughts', outputs(own.filter(({ pair }) => thinks(pair))), true)
  // What tools of the provider wrote is not among the pieces.
  const seen = others.filter(({ pair }) => !thinks(pair) && !pair.output.other)
  line('**other families, static**', outputs(seen), true)
  line(`**other families, after ${OBSERVED} calls**`, learnt(seen, 'output'), true)
  line('the same calls, static', outputs(seen.filter(({ learned }) => learned.output !== undefined)), true)
  for (const set of sets.filter((each) => others.some((row) => row.set === each)))
    line(set, outputs(seen.filter((row) => row.set === set)), true)
}

function isOther({ request, model }: Pair): boolean {
  return tokenFamily(request.model ?? model ?? undefined).calibrated !== undefined
}

function thinks({ reported, output }: Pair): boolean {
  return (reported.reasoning ?? 0) > 0 || output.reasoningText !== ''
}

/** Text alone: no calls, no thoughts, one answer. */
function isPlain({ pair }: Row): boolean {
  return pair.output.toolCalls.length === 0 && !thinks(pair) && pair.output.text !== ''
}

function inputs(of: readonly Row[]): readonly Compared[] {
  return of.flatMap(({ estimated, reported }) => compared(estimated.input, reported.input))
}

function outputs(of: readonly Row[]): readonly Compared[] {
  return of.flatMap(({ estimated, reported }) => compared(estimated.output, reported.output))
}

function learnt(of: readonly Row[], part: 'input' | 'output'): readonly Compared[] {
  return of.flatMap(({ learned, reported }) => compared(learned[part] ?? null, reported[part]))
}

function compared(estimated: number | null, reported: number | null): readonly Compared[] {
  return estimated === null || reported === null || reported <= 0 ? [] : [{ estimated, reported }]
}

function line(name: string, of: readonly Compared[], isOutput = false): void {
  if (of.length === 0) return
  const errors = of.map(({ estimated, reported }) => (100 * Math.abs(estimated - reported)) / reported)
  errors.sort((a, b) => a - b)
  const at = (share: number): string =>
    errors[Math.min(errors.length - 1, Math.floor(share * errors.length))]!.toFixed(1)
  const share = (most: number): string =>
    ((100 * of.filter(({ estimated, reported }) => Math.abs(estimated - reported) <= most).length) / of.length).toFixed(
      1,
    )
  const cells = [name, of.length, share(0), ...(isOutput ? [share(1)] : []), at(0.5), at(0.95)]
  console.log(`| ${cells.join(' | ')} |`)
}
