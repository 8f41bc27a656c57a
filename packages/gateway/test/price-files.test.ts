import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  ConfigError,
  loadConfig,
  parsePrices,
  priceFileJsonSchema,
  readPriceFile,
  readPrices,
} from '@tallygate/gateway'
import { expect } from 'chai'
import { parse } from 'yaml'
import { z } from 'zod'

const STARTER = fileURLToPath(new URL('../prices/starter.yaml', import.meta.url))
const NOW = Date.UTC(2026, 10, 21)

function mistakesOf(read: () => unknown): readonly string[] {
  try {
    read()
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n')
  }
}

describe('parsePrices', () => {
  const MISTAKES: readonly [mistake: string, text: string, says: string][] = [
    ['nothing', '', 'p.yaml:1:1: use a map of keys and values'],
    ['no prices', 'currency: USD', 'p.yaml:1:1: prices: it is not there: use a list'],
    ['an unknown key', 'prices: []\npricess: []', 'p.yaml:2:1: pricess: there is no such key'],
    ['a misspelt rate', 'prices:\n  - { model: a, inptu: 1 }', 'p.yaml:2:17: prices.0.inptu: there is no such key'],
    ['a rate below nothing', 'prices:\n  - { model: a, input: -1 }', 'p.yaml:2:17: prices.0.input: use at least 0'],
    ['a rate that is a text', 'prices:\n  - { model: a, input: $1 }', 'p.yaml:2:17: prices.0.input: use a number'],
    [
      'a rate that is too fine',
      'prices:\n  - { model: a, input: 0.00000000001 }',
      'p.yaml:2:17: prices.0.input: use up to nine decimals',
    ],
    [
      'a price without rates',
      'prices:\n  - { model: a }',
      'p.yaml:2:5: prices.0: has no rate: use at least one of input',
    ],
    [
      'a day that there is none of',
      'prices:\n  - { model: a, from: 2026-02-30, input: 1 }',
      'p.yaml:2:17: prices.0.from: is "2026-02-30"',
    ],
    [
      'a date in other words',
      'prices:\n  - { model: a, from: May, input: 1 }',
      'p.yaml:2:17: prices.0.from: use a date such as',
    ],
    [
      'a model twice',
      'prices:\n  - { model: a, input: 1 }\n  - { model: A, input: 2 }',
      'p.yaml:3:7: prices.1.model: is "a": prices[0] has the same from the same day',
    ],
    [
      'a threshold that is none',
      'prices:\n  - { model: a, input: 1, longContext: { above: 1.5, input: 2 } }',
      'p.yaml:2:42: prices.0.longContext.above: ',
    ],
    [
      'a tier with an unknown key',
      'prices:\n  - model: a\n    input: 1\n    tiers: { batch: { multiply: 1 } }',
      'p.yaml:4:23: prices.0.tiers.batch.multiply: there is no such key',
    ],
    ['a variable that is not set', 'prices: ${PRICES}', 'p.yaml:1:9: PRICES: the environment has neither'],
  ]
  for (const [mistake, text, says] of MISTAKES)
    it(`tells the place of ${mistake}`, () => {
      const told = mistakesOf(() => parsePrices(text, 'p.yaml', {}))
      expect(told).to.have.length(1)
      expect(told[0]!.slice(0, says.length)).to.equal(says)
    })

  it('tells all mistakes at once', () => {
    expect(
      mistakesOf(() => parsePrices('prices:\n  - { model: a, inptu: 1 }\n  - { input: x }', 'p.yaml', {})),
    ).to.have.length(3)
  })
})

describe('the starter prices', () => {
  const book = readPriceFile(STARTER, {})
  const cost = (model: string, inputTokens: number, more: object = {}, atMs = NOW): number | undefined =>
    book.priced({ basis: 'reported', inputTokens, outputTokens: 0, ...more }, { provider: 'any', model, atMs })
      .costNanos

  it('state their date and sources, and are named after it', () => {
    const { asOf, sources } = parse(readFileSync(STARTER, 'utf8')) as { asOf: string; sources: string[] }
    expect(asOf).to.match(/^\d{4}-\d{2}-\d{2}$/)
    expect(book.version).to.equal(`starter-${asOf.slice(0, 7)}`)
    expect(sources).to.have.length.above(7)
    for (const source of sources) expect(source).to.match(/^https:\/\//)
  })

  for (const [model, nanos] of [
    ['gpt-4o-2024-08-06', 2_500_000],
    ['gpt-4o-2024-05-13', 5_000_000],
    ['claude-sonnet-4-5-20250929', 3_000_000],
    ['claude-3-5-haiku-latest', 800_000],
    ['models/gemini-2.5-flash', 300_000],
    ['gemini-2.0-flash-001', 100_000],
    ['mistral-large-2411', 2_000_000],
    ['llama-3.1-8b-instant', 50_000],
    ['claude-sonnet-5-20260601', 2_000_000],
    ['grok-4.7', 2_000_000],
    ['command-r7b-12-2024', 37_500],
    ['gpt-4o-audio-preview', undefined],
    // Priced by the hour of the day, and no longer priced by the page.
    ['deepseek-chat', undefined],
    ['grok-4-0709', undefined],
    ['rerank-v3.5', undefined],
    ['ft:gpt-4o-mini-2024-07-18:acme::x', undefined],
  ] as const)
    it(`know ${model}: ${nanos} nanodollars for a thousand tokens`, () => {
      expect(cost(model, 1_000)).to.equal(nanos)
    })

  it('know prices of the past, long contexts, tiers, audio and searches', () => {
    const cached = { cacheReadTokens: 1_000 }
    expect(cost('claude-sonnet-5-5', 1_000, cached, Date.UTC(2026, 9, 6))).to.equal(200_000)
    expect(cost('claude-sonnet-5-5', 1_000, cached, Date.UTC(2026, 9, 7))).to.equal(100_000)
    expect(cost('grok-4.7', 200_000)).to.equal(800_000_000)
    expect(cost('gemini-2.5-pro', 200_001)).to.equal(500_002_500)
    expect(cost('gpt-5', 1_000, { serviceTier: 'flex' })).to.equal(625_000)
    expect(cost('whisper-1', 0, { seconds: 60 })).to.equal(6_000_000)
    expect(cost('claude-opus-4-5', 0, { searches: 1 })).to.equal(10_000_000)
  })

  it('fit the JSON Schema', () => {
    const schema = z.fromJSONSchema(priceFileJsonSchema() as never)
    expect(schema.safeParse(parse(readFileSync(STARTER, 'utf8'))).success).to.equal(true)
    expect(schema.safeParse(parse('prices: [{ model: a, inptu: 1 }]')).success).to.equal(false)
  })
})

describe('readPrices', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-prices-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return name
  }
  const costOf = (prices: string[], model: string): number | undefined =>
    readPrices(prices, folder, {}).book.priced({ basis: 'reported', inputTokens: 1_000 }, { model, atMs: NOW })
      .costNanos

  it('lets a later file go before an earlier one, model by model', () => {
    const own = write('own.yaml', 'version: own\nprices: [{ model: gpt-4o, input: 1 }, { model: ours, input: 9 }]')
    expect(costOf(['starter', own], 'gpt-4o')).to.equal(1_000_000)
    expect(costOf(['starter', own], 'ours')).to.equal(9_000_000)
    expect(costOf(['starter', own], 'gpt-4o-mini')).to.equal(150_000)
    expect(readPrices(['starter', own], folder, {}).book.version).to.equal('starter-2026-11+own')
    expect(readPrices(['starter', own], folder, {}).files).to.deep.equal([join(folder, 'own.yaml')])
  })

  it('replaces one name of several, and one day of several', () => {
    const first = write('a.yaml', 'prices: [{ model: [x, y], input: 1 }, { model: x, from: 2026-01-01, input: 2 }]')
    const second = write('b.yaml', 'prices: [{ model: y, input: 5 }, { model: x, from: 2026-01-01, input: 7 }]')
    expect([costOf([first, second], 'x'), costOf([first, second], 'y')]).to.deep.equal([7_000_000, 5_000_000])
  })

  it('refuses two currencies', () => {
    const own = write('own.yaml', 'currency: EUR\nprices: []')
    expect(mistakesOf(() => readPrices(['starter', own], folder, {}))[0]).to.match(/own\.yaml:1:1: currency: is EUR/)
  })

  it('refuses a file that is not there', () => {
    expect(mistakesOf(() => readPrices('none.yaml', folder, {}))[0]).to.match(/none\.yaml:1:1: can't be read/)
  })

  describe('of a configuration', () => {
    const configured = (further: string, own = 'currency: EUR\nprices: [{ model: m, input: 1 }]'): string => {
      write('own.yaml', own)
      write('quota.yaml', `providers: { openai: { target: https://api.openai.com } }\nprices: own.yaml\n${further}\n`)
      return join(folder, 'quota.yaml')
    }
    const limits = (limit: string): string => `plans: { p: { limits: [{ name: a, window: day, ${limit} }] } }`

    it('have their quotas in the same currency', () => {
      expect(mistakesOf(() => loadConfig(configured(limits('unit: cost, quota: 5 EUR')), {}))).to.deep.equal([])
      expect(mistakesOf(() => loadConfig(configured(limits('unit: cost, quota: $5')), {}))[0]).to.match(
        /quota\.yaml:3:\d+: plans\.p\.limits\.0\.quota: it is in USD, and prices are in EUR: use the same$/,
      )
      const override = `${limits('unit: cost, quota: 5 EUR')}\noverrides: [{ for: { plan: p }, limit: p/a, quota: $6 }]`
      expect(mistakesOf(() => loadConfig(configured(override), {}))[0]).to.match(
        /:4:\d+: overrides\.0\.quota: it is in USD/,
      )
    })

    it('know credits where a plan counts them', () => {
      const plan = limits('unit: credits, quota: 5')
      expect(mistakesOf(() => loadConfig(configured(plan), {}))[0]).to.match(
        /limits\.0\.unit: no price file says anything of credits/,
      )
      expect(mistakesOf(() => loadConfig(configured(plan, 'creditsPerUnit: 10\nprices: []'), {}))).to.deep.equal([])
    })

    it('tell mistakes of the price file in the price file', () => {
      expect(mistakesOf(() => loadConfig(configured('', 'prices: [{ model: m }]'), {}))[0]).to.match(
        /own\.yaml:1:10: prices\.0: /,
      )
    })
  })
})
