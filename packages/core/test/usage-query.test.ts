import { runs } from '@tallygate/testkit'
import {
  addSums,
  completeUsageQuery,
  dateLabel,
  dateSpans,
  MemoryLedger,
  NO_USAGE,
  planLabel,
  sumOf,
  USAGE_GROUPS,
  type UsageEntry,
  type UsageQuery,
} from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { instant, zone } from './calendar-arbitraries.ts'
import { complaint } from './complaint.ts'
import { usageEntry } from './usage-entry.ts'

const [JANUARY, FEBRUARY, APRIL] = [Date.UTC(2026, 0), Date.UTC(2026, 1), Date.UTC(2026, 3)]
const FILTER = { tenant: 'default', fromMs: JANUARY, toMs: APRIL }
const DAY = 86_400_000

describe('completeUsageQuery', () => {
  it('fills in what is not said', () => {
    const defaults = { zone: 'UTC', offset: 0, limit: 1_000 }
    expect(completeUsageQuery({ filter: FILTER, by: [] })).to.deep.equal({ filter: FILTER, by: [], ...defaults })
  })

  it('takes every group, day or month, and every page', () => {
    for (const group of USAGE_GROUPS)
      expect(completeUsageQuery({ filter: FILTER, by: [group], limit: 10_000, offset: 5 }).by).to.deep.equal([group])
  })

  it('takes the longest ranges, the shortest pages and the first and last dates', () => {
    const dates = [Date.parse('0001-01-02T00:00Z'), Date.parse('9999-12-31T00:00Z')] as const
    const queries: readonly UsageQuery[] = [
      { filter: { ...FILTER, fromMs: 0, toMs: 1_100 * DAY }, by: ['day'], limit: 1 },
      { filter: { ...FILTER, fromMs: 0, toMs: 2_000 * 31 * DAY }, by: ['month'] },
      { filter: { ...FILTER, fromMs: dates[0], toMs: dates[0] + DAY }, by: ['day'] },
      { filter: { ...FILTER, fromMs: dates[1] - DAY, toMs: dates[1] }, by: ['day'] },
      { filter: { ...FILTER, fromMs: -Infinity, toMs: Infinity }, by: [] },
    ]
    for (const query of queries) expect(complaint(() => completeUsageQuery(query))).to.equal('nothing')
  })

  const range = (fromMs: number, toMs: number): Partial<UsageQuery> => ({ filter: { ...FILTER, fromMs, toMs } })
  const bad: readonly { query: unknown; says: string }[] = [
    { query: { by: ['colour'] }, says: 'there is no group "colour": use key, user' },
    { query: { by: ['__proto__'] }, says: 'there is no group "__proto__": use key' },
    { query: { by: ['key', 'model', 'key'] }, says: 'by names a group twice: key, model, key' },
    { query: { by: ['day', 'month'] }, says: 'by names day and month: use one of them' },
    { query: { zone: 'Mars/Olympus' }, says: 'zone is "Mars/Olympus": use a name of the IANA' },
    { query: { zone: '' }, says: 'zone is "": use a name of the IANA' },
    { query: range(APRIL, JANUARY), says: 'the range is empty: from must be before to' },
    { query: range(APRIL, APRIL), says: 'the range is empty: from must be before to' },
    { query: range(Number.NaN, APRIL), says: 'the range is empty: from must be before to' },
    { query: range(JANUARY, Number.NaN), says: 'the range is empty: from must be before to' },
    { query: { by: ['day'], ...range(0, 1_101 * DAY) }, says: 'the range is too long to be told by day: ask for at' },
    { query: { by: ['day'], ...range(0, Infinity) }, says: 'the range is too long to be told by day' },
    { query: { by: ['month'], ...range(-1e14, 1e14) }, says: 'the range is too long to be told by month' },
    { query: { by: ['day'], ...range(9e15, 9e15 + DAY) }, says: "the range can't be told by day: ask for years" },
    { query: { by: ['month'], ...range(-9e15, -9e15 + DAY) }, says: "the range can't be told by month: ask for" },
    { query: { offset: -1 }, says: 'offset is -1: use a whole number from 0' },
    { query: { offset: 1.5 }, says: 'offset is 1.5: use a whole number' },
    { query: { offset: Number.NaN }, says: 'offset is NaN: use a whole number' },
    { query: { limit: 0 }, says: 'limit is 0: use a whole number from 1 to 10000' },
    { query: { limit: 10_001 }, says: 'limit is 10001: use a whole number' },
    { query: { limit: Infinity }, says: 'limit is Infinity: use a whole number' },
  ]
  for (const { query, says } of bad) {
    it(`says: ${says} …`, () => {
      const asked = { filter: FILTER, by: [], ...(query as object) }
      expect(complaint(() => completeUsageQuery(asked))).to.satisfy((said: string) =>
        said.startsWith(`ERR_QUOTA_QUERY: ${says}`),
      )
    })
  }
})

describe('dateSpans', () => {
  it('has one span for each month of a range, also for months in which nothing happened', () => {
    expect(dateSpans({ ...FILTER, fromMs: JANUARY + 5 * DAY, toMs: APRIL - DAY }, 'month', 'UTC')).to.deep.equal([
      { label: '2026-01', startMs: JANUARY + 5 * DAY, endMs: FEBRUARY },
      { label: '2026-02', startMs: FEBRUARY, endMs: Date.UTC(2026, 2) },
      { label: '2026-03', startMs: Date.UTC(2026, 2), endMs: APRIL - DAY },
    ])
  })

  it('has a day of 23 hours where a zone has one', () => {
    const fromMs = Date.parse('2026-03-28T23:00:00Z')
    const spans = dateSpans({ ...FILTER, fromMs, toMs: fromMs + 2 * DAY }, 'day', 'Europe/Berlin')
    expect(spans.map(({ label, startMs, endMs }) => [label, (endMs - startMs) / 3_600_000])).to.deep.equal([
      ['2026-03-29', 23],
      ['2026-03-30', 24],
      ['2026-03-31', 1],
    ])
  })

  it('leaves out a day that a zone left out', () => {
    const fromMs = Date.parse('2011-12-29T10:00:00Z')
    const labels = dateSpans({ ...FILTER, fromMs, toMs: fromMs + 2 * DAY }, 'day', 'Pacific/Apia').map(
      ({ label }) => label,
    )
    expect(labels).to.deep.equal(['2011-12-29', '2011-12-31'])
  })

  it('covers a range without gap or overlap, each span under the label of its instants', () => {
    const property = fc.property(zone, instant, fc.nat(40 * DAY), (zone, fromMs, lengthMs) => {
      const toMs = fromMs + lengthMs + 1
      for (const every of ['day', 'month'] as const) {
        const spans = dateSpans({ ...FILTER, fromMs, toMs }, every, zone)
        expect([spans[0]!.startMs, spans.at(-1)!.endMs]).to.deep.equal([fromMs, toMs])
        for (const [index, { label, startMs, endMs }] of spans.entries()) {
          expect(endMs).to.be.above(startMs)
          expect(dateLabel(startMs, every, zone)).to.equal(label)
          if (index > 0) expect(startMs).to.equal(spans[index - 1]!.endMs)
        }
        expect(new Set(spans.map(({ label }) => label))).to.have.property('size', spans.length)
      }
    })
    fc.assert(property, { numRuns: runs(60) })
  })
})

describe('dateLabel', () => {
  for (const { zone, label } of [
    { zone: 'UTC', label: '2025-12-31' },
    { zone: 'Europe/Berlin', label: '2026-01-01' },
    { zone: 'America/New_York', label: '2025-12-31' },
  ]) {
    it(`is ${label} half an hour before the new year of UTC in ${zone}`, () => {
      expect(dateLabel(JANUARY - 1_800_000, 'day', zone)).to.equal(label)
      expect(dateLabel(JANUARY - 1_800_000, 'month', zone)).to.equal(label.slice(0, 7))
    })
  }

  it('has four digits for the first and the last year that can be asked for', () => {
    for (const [text, zone] of [
      ['0001-01-02T00:00Z', 'America/New_York'],
      ['9999-12-30T23:59Z', 'Pacific/Apia'],
    ] as const)
      expect(dateLabel(Date.parse(text), 'day', zone)).to.match(/^\d{4}-\d{2}-\d{2}$/)
  })
})

describe('planLabel', () => {
  it('joins the names of the plans, and is null without any', () => {
    const plans = ['free', 'extra'].map((name) => ({ name, version: '1' }))
    expect(planLabel(usageEntry({ plans }))).to.equal('free+extra')
    expect(planLabel(usageEntry({}))).to.equal(null)
  })
})

describe('sumOf and addSums', () => {
  const cases: readonly { what: string; entry: Partial<UsageEntry>; adds: object }[] = [
    { what: 'a call of unknown usage', entry: {}, adds: { unknown: 1 } },
    { what: 'one that failed', entry: { outcome: 'failed' }, adds: { failed: 1 } },
    { what: 'one that was aborted', entry: { outcome: 'aborted', overage: true }, adds: { aborted: 1, overage: 1 } },
    {
      what: 'reported usage',
      entry: { usage: { basis: 'reported', inputTokens: 7, outputTokens: 3, reasoningTokens: 2 } },
      adds: { inputTokens: 7, outputTokens: 3, totalTokens: 10, reasoningTokens: 2 },
    },
    {
      what: 'usage that we counted in part',
      entry: { usage: { basis: 'reported-partial', inputTokens: 7, cacheReadTokens: 5, cacheWriteTokens: 1 } },
      adds: { estimated: 1, inputTokens: 7, totalTokens: 7, cacheReadTokens: 5, cacheWriteTokens: 1 },
    },
  ]
  for (const { what, entry, adds } of cases) {
    it(`count ${what}`, () => {
      const sum = sumOf(usageEntry(entry))
      expect(sum).to.deep.equal({ ...NO_USAGE, calls: 1, ...adds })
      expect(addSums(sum, NO_USAGE)).to.deep.equal(sum)
      expect(addSums(sum, sum)).to.deep.include({ calls: 2, inputTokens: 2 * sum.inputTokens })
    })
  }

  it('make the sum of the groups the sum of the report', async () => {
    const usage = fc.record({
      basis: fc.constantFrom('reported', 'estimated'),
      inputTokens: fc.nat(),
      outputTokens: fc.nat(),
    })
    const entry = fc.record({
      atMs: fc.integer({ min: JANUARY - DAY, max: APRIL }),
      subject: fc.constantFrom('alice', 'bob'),
      model: fc.constantFrom('a', 'b', undefined),
      outcome: fc.constantFrom('complete', 'failed', 'aborted', 'expired'),
      usage: fc.option(usage, { nil: undefined }),
    })
    const property = fc.asyncProperty(fc.array(entry, { maxLength: 30 }), zone, async (entries, zone) => {
      const ledger = new MemoryLedger()
      await ledger.append(entries.map((each, index) => usageEntry({ ...each, id: `${index}` })))
      const { total } = await ledger.sum({ filter: FILTER, by: [] })
      for (const by of [['key'], ['model', 'day'], ['month', 'key']] as const) {
        const page = await ledger.sum({ filter: FILTER, by, zone })
        expect(page.total).to.deep.equal(total)
        expect(page.rows.reduce((sum, row) => addSums(sum, row), NO_USAGE)).to.deep.equal(total)
      }
    })
    await fc.assert(property, { numRuns: runs(60) })
  })
})
