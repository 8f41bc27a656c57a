import { mock } from 'node:test'
import { saySeldom, type Logger } from '@tallygate/flow'
import { expect } from 'chai'

const MINUTE_MS = 60_000

describe('saySeldom', () => {
  let lines: string[]
  let details: string[]
  let logger: Logger
  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] })
    lines = []
    details = []
    const into =
      (list: string[]) =>
      (message: string, about: unknown): void =>
        void list.push(`${message} ${JSON.stringify(about)}`)
    logger = { warn: into(lines), error: into(lines), debug: into(details) }
  })
  afterEach(() => mock.timers.reset())

  const say = (call: number, kind = 'host', message = 'down'): void =>
    saySeldom(logger, { level: 'warn', message, kind, about: { call } })

  it('says the first at once, then the latest once a minute, with how many it left out', () => {
    for (let call = 1; call <= 1_000; call += 1) say(call)
    expect(lines.splice(0)).to.deep.equal(['down {"call":1}'])
    mock.timers.tick(MINUTE_MS - 1)
    say(1_001)
    expect(lines).to.deep.equal([])
    mock.timers.tick(1)
    expect(lines.splice(0)).to.deep.equal(['down {"call":1001,"leftOut":999}'])
    say(1_002)
    mock.timers.tick(MINUTE_MS)
    expect(lines.splice(0)).to.deep.equal(['down {"call":1002}'])
  })

  it('says the next at once when there was none for a minute', () => {
    say(1)
    mock.timers.tick(MINUTE_MS)
    say(2)
    expect(lines).to.deep.equal(['down {"call":1}', 'down {"call":2}'])
  })

  it('tells kinds apart, and messages', () => {
    for (const kind of ['one', 'two', 'one']) say(1, kind)
    say(1, 'one', 'slow')
    expect(lines).to.deep.equal(['down {"call":1}', 'down {"call":1}', 'slow {"call":1}'])
  })

  it('says what it leaves out to those who want to know all', () => {
    for (const call of [1, 2, 3]) say(call)
    expect(details).to.deep.equal(['down {"call":2}', 'down {"call":3}'])
    delete logger.debug
    say(4)
  })

  it('has bounds, however many kinds there are', () => {
    for (let kind = 0; kind < 10_000; kind += 1) say(kind, `host ${kind}`)
    expect(lines.splice(0)).to.have.length(101)
    mock.timers.tick(MINUTE_MS)
    expect(lines.splice(0)).to.deep.equal(['down {"call":9999,"leftOut":9898}'])
    // All that were said once are forgotten.
    mock.timers.tick(MINUTE_MS)
    say(1, 'host 1')
    expect(lines).to.deep.equal(['down {"call":1}'])
  })
})
