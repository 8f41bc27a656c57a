import { CompiledPlan, isCounted, type CountRule, type EndedAttempt, type Plan } from '@tallygate/core'
import { expect } from 'chai'
import { complaint } from './complaint.ts'

const ENDED = {
  'a 200': { status: 200, outcome: 'complete' },
  'a 202': { status: 202, outcome: 'complete' },
  'a 304': { status: 304, outcome: 'complete' },
  'a 404': { status: 404, outcome: 'failed' },
  'a 429': { status: 429, outcome: 'failed' },
  'a 503': { status: 503, outcome: 'failed' },
  'no answer': { status: undefined, outcome: 'failed' },
  'a 200 that broke off': { status: 200, outcome: 'failed' },
  'a caller who hung up on a 200': { status: 200, outcome: 'aborted' },
  'a caller who hung up before the answer': { status: undefined, outcome: 'aborted' },
} as const satisfies Record<string, EndedAttempt>
type Ended = keyof typeof ENDED

const ALL = Object.keys(ENDED) as Ended[]
const planWith = (count: unknown): Plan => ({ name: 'pro', limits: [], count: count as CountRule })

describe('isCounted', () => {
  const rules: readonly { rule: CountRule | undefined; spares: readonly Ended[] }[] = [
    { rule: undefined, spares: [] },
    { rule: {}, spares: [] },
    { rule: { on: 'success' }, spares: ['a 404', 'a 429', 'a 503', 'no answer', 'a 200 that broke off'] },
    { rule: { on: 'http200' }, spares: ALL.filter((ended) => !ended.includes('200')) },
    { rule: { refundOn: ['5xx'] }, spares: ['a 503'] },
    { rule: { refundOn: ['4xx'] }, spares: ['a 404', 'a 429'] },
    { rule: { refundOn: [429, 304] }, spares: ['a 304', 'a 429'] },
    { rule: { refundOn: ['failed'] }, spares: ['a 404', 'a 429', 'a 503', 'no answer', 'a 200 that broke off'] },
    {
      rule: { refundOn: ['aborted'] },
      spares: ['a caller who hung up on a 200', 'a caller who hung up before the answer'],
    },
    {
      rule: { on: 'success', refundOn: [202] },
      spares: ['a 202', 'a 404', 'a 429', 'a 503', 'no answer', 'a 200 that broke off'],
    },
  ]
  for (const { rule, spares } of rules) {
    it(`${JSON.stringify(rule)} spares ${spares.join(', ') || 'nothing'}`, () => {
      const { count } = new CompiledPlan(planWith(rule))
      const spared = ALL.filter((ended) => !isCounted(count, ENDED[ended]))
      expect(spared).to.have.members(spares)
    })
  }

  const bad: readonly { count: unknown; says: string }[] = [
    { count: 'success', says: 'count is "success": use an object with on, refundOn' },
    { count: { when: 'success' }, says: 'count.when is "success": there is no such member, use on, refundOn' },
    { count: { on: 'http' }, says: 'count.on is "http": use attempt, success, http200' },
    { count: { refundOn: '5xx' }, says: 'count.refundOn is "5xx": use a list, such as [5xx, 429]' },
    { count: { refundOn: [429, '3xx'] }, says: 'count.refundOn[1] is "3xx": use a status from 100 to 599' },
    { count: { refundOn: [99] }, says: 'count.refundOn[0] is 99: use a status' },
    { count: { refundOn: [200.5] }, says: 'count.refundOn[0] is 200.5: use a status' },
  ]
  for (const { count, says } of bad) {
    it(`says: ${says} …`, () => {
      expect(complaint(() => new CompiledPlan(planWith(count)))).to.include(`plans.pro.${says}`)
    })
  }

  it('a plan that counts otherwise is another state of it, and one that says nothing is as it was', () => {
    const version = (count: unknown): string => new CompiledPlan(planWith(count)).version
    expect(version({ on: 'success' })).to.not.equal(version(undefined))
    expect(version({ on: 'success' })).to.equal(version({ on: 'success' }))
  })
})
