import { runs } from '@tallygate/testkit'
import { conditionHolds, type CallFacts, type LimitCondition } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'

describe('conditionHolds', () => {
  const cases: readonly { when: LimitCondition; of: CallFacts; holds: boolean }[] = [
    { when: {}, of: {}, holds: true },
    { when: {}, of: { model: 'gpt-4o' }, holds: true },
    { when: { model: ['gpt-4o'] }, of: { model: 'gpt-4o' }, holds: true },
    { when: { model: ['gpt-4o'] }, of: { model: 'gpt-4o-mini' }, holds: false },
    { when: { model: ['gpt-4o'] }, of: { model: ' GPT-4o ' }, holds: true },
    { when: { model: [' GPT-4o '] }, of: { model: 'gpt-4o' }, holds: true },
    { when: { model: ['o1', 'gpt-4*'] }, of: { model: 'gpt-4o' }, holds: true },
    { when: { model: ['*-mini'] }, of: { model: 'gpt-4o-mini' }, holds: true },
    { when: { model: ['*mini*'] }, of: { model: 'gemini-2' }, holds: true },
    { when: { model: ['gpt-*-mini'] }, of: { model: 'gpt-mini' }, holds: false },
    { when: { model: ['a*a'] }, of: { model: 'a' }, holds: false },
    { when: { model: ['a*b*b'] }, of: { model: 'ab' }, holds: false },
    { when: { model: ['a*b*b'] }, of: { model: 'a-b-b' }, holds: true },
    { when: { model: ['a*bc*bc'] }, of: { model: 'abcxbc' }, holds: true },
    { when: { model: ['gpt-4.'] }, of: { model: 'gpt-4o' }, holds: false },
    { when: { model: ['*'] }, of: {}, holds: true },
    { when: { model: ['**'] }, of: { model: '' }, holds: true },
    { when: { model: ['gpt-4o'] }, of: {}, holds: false },
    { when: { model: ['?'] }, of: {}, holds: false },
    { when: { model: [''] }, of: {}, holds: false },
    { when: { model: [] }, of: { model: 'gpt-4o' }, holds: false },
    { when: { model: ['gpt*'], route: ['/v1/*'] }, of: { model: 'gpt-4o', route: '/v1/chat' }, holds: true },
    { when: { model: ['gpt*'], route: ['/v1/*'] }, of: { model: 'gpt-4o', route: '/v2/chat' }, holds: false },
    { when: { service: ['mail'] }, of: { service: 'mail', model: 'any' }, holds: true },
    { when: { service: ['mail'] }, of: { model: 'mail' }, holds: false },
  ]
  for (const { when, of, holds } of cases) {
    it(`${JSON.stringify(when)} ${holds ? 'holds' : 'does not hold'} of ${JSON.stringify(of)}`, () => {
      expect(conditionHolds(when, of)).to.equal(holds)
    })
  }

  it('finds what a regular expression finds, with any stars in a pattern', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 9 })
    const model = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 9 })
    const property = fc.property(pattern, model, (pattern, model) => {
      const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(model)
      expect(conditionHolds({ model: [pattern] }, { model })).to.equal(expected)
    })
    fc.assert(property, { numRuns: runs(2_000) })
  })
})
