import type { Ledger, UsageFilter, UsageGroup, UsageRow } from '@tallygate/core'
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'
import { ALWAYS, HOUR, NOON, usage } from './conformance-entries.ts'

/** Sums by group. @param open The ledger of the test. */
export function describeGroups(open: () => Ledger): void {
  const groups = async (
    by: UsageGroup[],
    zone = 'UTC',
    filter: UsageFilter = ALWAYS,
  ): Promise<[unknown[], number][]> => {
    const { rows } = await open().sum({ filter, by, zone })
    return rows.map((row) => [by.map((group) => row.group[group]), row.calls])
  }

  describe('groups', () => {
    beforeEach(async () => {
      await open().append([
        usage('1', {
          subject: 'k1',
          model: 'm1',
          provider: 'openai',
          operation: 'chat',
          dimensions: { tenant: 't', user: 'u1', group: 'g1' },
          plans: [{ name: 'pro', version: '1' }],
        }),
        usage('2', {
          subject: 'k1',
          model: 'm2',
          provider: 'openai',
          operation: 'chat',
          plans: [
            { name: 'a', version: '1' },
            { name: 'b', version: '1' },
          ],
        }),
        usage('3', { subject: 'k2', model: 'm1', provider: 'anthropic', operation: 'chat' }),
        usage('4', { subject: 'k2', atMs: NOON + 24 * HOUR }),
      ])
    })

    const cases: { by: UsageGroup[]; rows: [unknown[], number][] }[] = [
      {
        by: ['key'],
        rows: [
          [['k1'], 2],
          [['k2'], 2],
        ],
      },
      {
        by: ['model'],
        rows: [
          [[null], 1],
          [['m1'], 2],
          [['m2'], 1],
        ],
      },
      {
        by: ['provider'],
        rows: [
          [[null], 1],
          [['anthropic'], 1],
          [['openai'], 2],
        ],
      },
      {
        by: ['operation'],
        rows: [
          [[null], 1],
          [['chat'], 3],
        ],
      },
      {
        by: ['plan'],
        rows: [
          [[null], 2],
          [['a+b'], 1],
          [['pro'], 1],
        ],
      },
      {
        by: ['user'],
        rows: [
          [[null], 3],
          [['u1'], 1],
        ],
      },
      {
        by: ['group'],
        rows: [
          [[null], 3],
          [['g1'], 1],
        ],
      },
      {
        by: ['day'],
        rows: [
          [['2026-01-31'], 3],
          [['2026-02-01'], 1],
        ],
      },
      {
        by: ['month'],
        rows: [
          [['2026-01'], 3],
          [['2026-02'], 1],
        ],
      },
      {
        by: ['month', 'key'],
        rows: [
          [['2026-01', 'k1'], 2],
          [['2026-01', 'k2'], 1],
          [['2026-02', 'k2'], 1],
        ],
      },
    ]
    for (const { by, rows } of cases) {
      it(`by ${by.join(' and ')}`, async () => {
        expect(await groups(by)).to.deep.equal(rows)
      })
    }

    for (const filter of [
      { key: 'k1' },
      { model: 'm1' },
      { provider: 'openai' },
      { plan: 'a+b' },
      { user: 'u1' },
      { group: 'g1' },
      { operation: 'chat' },
    ]) {
      it(`filtered by ${Object.keys(filter)[0]}: as many as in its group`, async () => {
        const [[group, value]] = Object.entries(filter) as [[UsageGroup, string]]
        const ofGroup = (await groups([group])).find(([[name]]) => name === value)![1]
        expect((await open().sum({ filter: { ...ALWAYS, ...filter }, by: [] })).total.calls).to.equal(ofGroup)
        expect(await open().entries({ ...ALWAYS, ...filter })).to.have.length(ofGroup)
      })
    }

    it('by pages that add up to the total, in order', async () => {
      const whole = await open().sum({ filter: ALWAYS, by: ['key', 'model'] })
      const rows: UsageRow[] = []
      for (let offset: number | undefined = 0; offset !== undefined;) {
        const page = await open().sum({ filter: ALWAYS, by: ['key', 'model'], limit: 1, offset })
        expect(page.total).to.deep.equal(whole.total)
        rows.push(...page.rows)
        offset = page.nextOffset
      }
      expect(rows).to.deep.equal(whole.rows)
      expect(rows.reduce((sum, { calls }) => sum + calls, 0)).to.equal(whole.total.calls)
    })
  })

  it('puts a call on the day that a calendar in the zone shows', async () => {
    await open().append([
      usage('a', { atMs: Date.UTC(2026, 2, 28, 22, 59) }),
      usage('b', { atMs: Date.UTC(2026, 2, 28, 23) }),
    ])
    expect(await groups(['day'], 'Europe/Berlin')).to.deep.equal([
      [['2026-03-28'], 1],
      [['2026-03-29'], 1],
    ])
    expect(await groups(['day'], 'Asia/Tokyo')).to.deep.equal([[['2026-03-29'], 2]])
    expect(await groups(['month'], 'Pacific/Kiritimati')).to.deep.equal([[['2026-03'], 2]])
  })
}
