import { matchOperation, type ReportedUsage } from '@tallygate/metering'
import { expect } from 'chai'
import { readAnswer } from './answer-bytes.ts'
import { EVERY_ANSWER } from './every-answer.ts'

describe('the table of operations and providers', () => {
  for (const answer of EVERY_ANSWER) {
    const { provider, operation, framing, path, method = 'POST' } = answer
    const says = answer.usage === undefined ? 'states nothing' : 'states its usage'

    it(`${provider} ${method} ${path} is ${operation}; ${framing} that ${says}`, () => {
      const match = matchOperation(method, path, provider)
      expect([match?.adapter.id, match?.adapter.provider]).to.deep.equal([operation, provider])
      for (const how of ['absorbed', 'picked'] as const) {
        const { reported, shown, model } = readAnswer(answer, how)
        expect([how, stated(reported), stated(shown)]).to.deep.equal([how, stated(answer.usage), stated(answer.shown)])
        expect(model).to.equal(answer.model)
      }
    })
  }
})

/** Without what is not stated, and without the last digits of a cost. */
function stated(usage: ReportedUsage | undefined): unknown {
  if (usage === undefined) return undefined
  const { cost } = usage
  return JSON.parse(JSON.stringify(cost === undefined ? usage : { ...usage, cost: Number(cost.toPrecision(12)) }))
}
