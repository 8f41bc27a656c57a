import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { TokenCounter } from '@tallygate/metering'
import { expect } from 'chai'
import { outputOf, promptOf } from './token-tasks.ts'

const HELLO = { tokens: 2, bound: 2, isComplete: true, confidence: 'high', isLowerBound: false }

describe('the worker of a TokenCounter', () => {
  const workers: Worker[] = []
  const started = (worker: Worker): void => void workers.push(worker)
  /** Node tells of a worker a moment after it was made. */
  const newest = async (): Promise<Worker> => {
    await setImmediate()
    const worker = workers.at(-1)
    if (worker === undefined) throw new Error('no worker was started')
    return worker
  }
  let counter: TokenCounter
  before(() => {
    process.on('worker', started)
  })
  beforeEach(() => {
    workers.length = 0
    counter = new TokenCounter({ deadlineMs: 10_000 })
  })
  afterEach(() => counter.close())
  after(() => {
    process.off('worker', started)
  })

  it('is started by the first count, once for all that follow', async () => {
    expect(workers).to.have.lengthOf(0)
    expect(counter.isLoaded).to.equal(false)
    const counts = await Promise.all(['hello world', '', 'a'].map((text) => counter.count(outputOf(text))))
    expect(counts.map(({ tokens }) => tokens)).to.deep.equal([2, 0, 1])
    expect(counter.isLoaded).to.equal(true)
    expect(workers).to.have.lengthOf(1)
  })

  it('survives what can not be counted, which is bounded by its bytes', async () => {
    const schema = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const deep = `{"messages":[],"response_format":{"json_schema":{"schema":${schema}}}}`
    for (const body of ['', 'no JSON', '{"messages":', deep]) {
      const bound = Buffer.byteLength(body)
      const expected = {
        tokens: Math.ceil(bound / 4),
        bound,
        isComplete: false,
        confidence: 'low',
        isLowerBound: false,
      }
      expect(await counter.count(promptOf(body))).to.deep.equal(expected)
    }
    expect(await counter.count(outputOf('hello world'))).to.deep.equal(HELLO)
    expect(workers).to.have.lengthOf(1)
  })

  it('may die within a count: that one is bounded, and the next ones are counted by another', async () => {
    const first = counter.count(outputOf('hello world'))
    const second = counter.count(outputOf('hello world'))
    const worker = await newest()
    await worker.terminate()
    expect(await first).to.include({ isComplete: false })
    expect(await second).to.deep.equal(HELLO)
    expect(workers).to.have.lengthOf(2)
  })

  it('may die between counts', async () => {
    expect(await counter.count(outputOf('hello world'))).to.deep.equal(HELLO)
    const worker = await newest()
    await worker.terminate()
    expect(counter.isLoaded).to.equal(false)
    expect(await counter.count(outputOf('hello world'))).to.deep.equal(HELLO)
    expect(workers).to.have.lengthOf(2)
  })

  it('is not given more than the queue takes: the rest is bounded at once', async () => {
    const maxQueueBytes = outputOf('hello world').body.byteLength
    const small = new TokenCounter({ deadlineMs: 10_000, maxQueueBytes })
    const counts = await Promise.all(Array.from({ length: 4 }, () => small.count(outputOf('hello world'))))
    expect(counts.map(({ isComplete }) => isComplete)).to.deep.equal([true, true, false, false])
    await small.close()
  })

  it('does not take the framing of an answer for words where it can only guess', async () => {
    const none = new TokenCounter({ maxQueueBytes: 0 })
    const words = Array.from({ length: 100 }, (_, index) => ` word${index % 10}`)
    const events = words.map(
      (content) => `data: ${JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content } }] })}\n\n`,
    )
    const body = new Uint8Array(Buffer.from(events.join('')))
    const count = await none.count({ kind: 'output', shape: 'openai-chat', framing: 'sse', body, model: 'gpt-4o' })
    expect(count.isComplete).to.equal(false)
    expect(count.tokens).to.be.within(100, 200)
    await none.close()
  })

  it('ends with its counter, which bounds what still waits and what comes after', async () => {
    const waiting = [1, 2].map(() => counter.count(outputOf('hello world')))
    const exited = once(await newest(), 'exit')
    await counter.close()
    await exited
    for (const count of [...(await Promise.all(waiting)), await counter.count(outputOf('hello world'))])
      expect(count).to.include({ isComplete: false })
    expect(counter.isLoaded).to.equal(false)
    expect(workers).to.have.lengthOf(1)
    await counter.close()
  })

  it('does not keep a process alive that has nothing else to do', () => {
    const program = `
      import { TokenCounter } from '@tallygate/metering'
      const body = Buffer.from('{"choices":[{"text":"hello world"}]}')
      const count = await new TokenCounter().count({ kind: 'output', shape: 'openai-chat', framing: 'json', body, model: 'gpt-4o' })
      process.stdout.write(String(count.tokens))`
    const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: import.meta.dirname,
      timeout: 15_000,
    })
    expect(ran.stderr.toString()).to.equal('')
    expect(ran.stdout.toString()).to.equal('2')
    expect(ran.status).to.equal(0)
  })
})
