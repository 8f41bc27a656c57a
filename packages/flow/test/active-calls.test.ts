import { consoleLogger } from '@tallygate/flow'
import { expect } from 'chai'
import { ActiveCalls } from '../src/active-calls.ts'
import type { Call } from '../src/call.ts'

/** What of a call its list deals with. */
function call(extend: () => Promise<void>): Call {
  return { place: -1, extend } as unknown as Call
}

describe('ActiveCalls', () => {
  it('extends what every call holds, one beat at a time', async () => {
    const active = new ActiveCalls(() => 0, consoleLogger, 60_000)
    let extended = 0
    const calls = [1, 2, 3].map(() => call(async () => void (extended += 1)))
    for (const each of calls) active.add(each)
    await Promise.all([active.beat(), active.beat()])
    expect(extended).to.equal(3)
    active.delete(calls[0]!)
    await active.beat()
    expect([extended, active.size]).to.deep.equal([5, 2])
    active.stop()
  })

  it('tries again at the next beat what could not be extended, and says so', async () => {
    const warned: string[] = []
    const active = new ActiveCalls(() => 0, { warn: (message) => void warned.push(message), error: () => {} }, 60_000)
    let isAway = true
    let extended = 0
    active.add(
      call(async () => {
        if (isAway) throw new Error('gone')
        extended += 1
      }),
    )
    await active.beat()
    isAway = false
    await active.beat()
    expect([warned, extended]).to.deep.equal([['holds could not be extended'], 1])
    active.stop()
  })

  it('is idle when the last call has ended, and only then', async () => {
    const active = new ActiveCalls(() => 0, consoleLogger, 60_000)
    const calls = [1, 2].map(() => call(async () => {}))
    for (const each of calls) active.add(each)
    let isIdle = false
    const idle = active.idle(60_000).then(() => (isIdle = true))
    active.delete(calls[1]!)
    active.delete(calls[1]!)
    await new Promise(setImmediate)
    expect(isIdle).to.equal(false)
    active.delete(calls[0]!)
    await idle
    active.stop()
  })
})
