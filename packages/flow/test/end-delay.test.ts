import { isQuotaError } from '@tallygate/core'
import { expect } from 'chai'
import { EndDelay } from '../src/end-delay.ts'

const never = new Promise<void>(() => {})

describe('EndDelay', () => {
  it('ends as soon as the entry is written', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let isOver = false
    const waited = new EndDelay(60_000, 'break').wait(promise).then(() => (isOver = true))
    await new Promise(setImmediate)
    expect(isOver).to.equal(false)
    resolve()
    await waited
  }).timeout(1_000)

  it('leaves without the entry when it takes too long', async () => {
    const delay = new EndDelay(5, 'leave')
    await Promise.all([delay.wait(never), delay.wait(never)])
    await delay.wait(never)
  })

  it('breaks when the end must not leave without its entry', async () => {
    const delay = new EndDelay(5, 'break')
    const error: unknown = await delay.wait(never).catch((reason: unknown) => reason)
    expect(isQuotaError(error, 'ERR_QUOTA_LEDGER_UNAVAILABLE')).to.equal(true)
    expect(String(error)).to.include('within 5 ms')
  })

  it('hands on what went wrong', async () => {
    const error: unknown = await new EndDelay(60_000, 'leave').wait(Promise.reject(new Error('it'))).catch(String)
    expect(error).to.equal('Error: it')
  })
})
