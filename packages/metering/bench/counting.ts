import { LiveCounter, TokenCounter, type TokenTask } from '@tallygate/metering'

/** How many of each hostile text are counted one after the other, to see whether memory grows. */
const TIMES = Number(process.env['TIMES'] ?? 100)
const MEGABYTE = 1_048_576
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

let seed = 1
/** The same on each run. */
function random(): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return seed / 2_147_483_648
}

const texts: readonly (readonly [what: string, text: string])[] = [
  ['one letter', 'a'.repeat(MEGABYTE)],
  ['spaces', ' '.repeat(MEGABYTE)],
  ['one Chinese character', '中'.repeat(MEGABYTE / 3)],
  ['emoji', '🙂'.repeat(MEGABYTE / 4)],
  [
    'base64',
    Buffer.from(Array.from({ length: (MEGABYTE * 3) / 4 }, () => Math.floor(random() * 256))).toString('base64'),
  ],
  ['random letters', Array.from({ length: MEGABYTE }, () => LETTERS[Math.floor(random() * 26)]).join('')],
  ['special tokens', '<|endoftext|>'.repeat(MEGABYTE / 13)],
  ['English', 'The quick brown fox jumps over the lazy dog, they said. '.repeat(MEGABYTE / 56)],
]

/** CPU that this thread has used, in ms: what counting takes of the event loop, whatever else the machine does. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

const counter = new TokenCounter()
const taskOf = (body: Uint8Array): TokenTask => ({ kind: 'prompt', body, model: 'gpt-4o' })
const bodyOf = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(JSON.stringify({ messages: [{ role: 'user', content: text }] })))
await counter.count(taskOf(bodyOf('warm')))

console.log(
  '| 1 MB of | answered after ms | main thread ms | all of it counted | tokens | bound |\n|---|---|---|---|---|---|',
)
for (const [what, text] of texts) {
  const task = taskOf(bodyOf(text))
  const started = performance.now()
  const before = threadMs()
  const { tokens, bound, isComplete } = await counter.count(task)
  const after = threadMs() - before
  const cells = [
    what,
    (performance.now() - started).toFixed(0),
    after.toFixed(1),
    isComplete ? 'yes' : 'no',
    tokens,
    bound,
  ]
  console.log(`| ${cells.join(' | ')} |`)
}

const rss: number[] = []
for (let at = 0; at < TIMES; at += 1) {
  for (const [, text] of texts.slice(0, 7)) await counter.count(taskOf(bodyOf(text)))
  if (at === Math.floor(TIMES / 4) || at === TIMES - 1) rss.push(process.memoryUsage.rss() / MEGABYTE)
}
console.log(`\nresident memory over ${TIMES * 7} of them: ${rss.map((each) => each.toFixed(0)).join(' -> ')} MiB`)

const words = 'The quick brown fox jumps over the lazy dog, they said. '.split(/(?= )/)
const deltas = Array.from({ length: 1_000 }, (_, at) => words[at % words.length]!)
const perStream: number[] = []
for (let round = 0; round < 200; round += 1) {
  const live = new LiveCounter(counter, 'gpt-4o')
  const started = performance.now()
  for (const delta of deltas) live.add(delta)
  const finished = live.finish()
  perStream.push(performance.now() - started)
  await finished
}
perStream.sort((a, b) => a - b)
console.log(
  `1,000 deltas, on the main thread: median ${perStream[100]!.toFixed(3)} ms, p95 ${perStream[190]!.toFixed(3)} ms`,
)
const live = new LiveCounter(counter, 'gpt-4o')
for (const delta of deltas) live.add(delta)
const whole = await counter.count({ kind: 'text', body: new Uint8Array(Buffer.from(deltas.join(''))), model: 'gpt-4o' })
console.log(`counted as they came ${(await live.finish()).tokens}, in one ${whole.tokens}`)
await counter.close()
