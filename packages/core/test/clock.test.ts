import { monotonicClock } from '@tallygate/core'
import { expect } from 'chai'

describe('monotonicClock', () => {
  it('tells milliseconds since 1970', () => {
    expect(Math.abs(monotonicClock() - Date.now())).to.be.below(60_000)
  })

  it('never goes back, also when the clock of the machine does', () => {
    const machine = Date.now
    const before = monotonicClock()
    Date.now = () => 0
    try {
      expect(monotonicClock()).to.be.at.least(before)
    } finally {
      Date.now = machine
    }
  })
})
