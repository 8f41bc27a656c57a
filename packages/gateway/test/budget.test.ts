import { execFile } from 'node:child_process'
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, startGateway, type Gateway } from '@tallygate/gateway'
import { expect } from 'chai'
import { chat, closeAll, COMMAND, get, onClose, run, SECRETS, writeConfig, type Setting } from './running-gateway.ts'

/** A configuration whose one plan has a budget, and what else a test says. */
const text = (url: string, plan: string, prices = './prices.yaml'): string => `listen: { port: 0 }
administration: { port: 0, keys: [${SECRETS.administrator}] }
providers: { openai: { target: '${url}', credential: { swap: ${SECRETS.provider} } } }
keys: [{ id: caller, secret: ${SECRETS.caller} }]
prices: ${prices}
plans: { team: ${plan} }
defaultPlans: [team]
pepper: ${SECRETS.pepper}
log: silent
`
const BUDGET = '{ limits: [{ name: budget, unit: cost, quota: $0.03, window: month }] }'

describe('a budget in quota.yaml', () => {
  let setting: Setting
  const prices = (input: number): void =>
    writeFileSync(
      join(setting.folder, 'prices.yaml'),
      `version: at-${input}\nprices: [{ model: gpt-4o, input: ${input}, output: 10 }]`,
    )
  const report = async (base: string): Promise<Record<string, string | number>> => {
    const { text: body } = await get(`${base}/usage`, { authorization: `Bearer ${SECRETS.caller}` })
    return (JSON.parse(body) as { total: Record<string, string | number> }).total
  }
  /** In a process of its own, while this one goes on serving. */
  const reprice = (...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const whole = ['reprice', '--config', setting.file, '--from', '2020-01-01', '--to', '2100-01-01', ...args]
      execFile(process.execPath, [COMMAND, ...whole], { cwd: setting.folder }, (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr })
      })
    })

  beforeEach(async () => {
    setting = await writeConfig(({ url }) => text(url, BUDGET))
    prices(100)
  })
  afterEach(closeAll)

  it('holds, charges and reports money, and refuses in dollars', async () => {
    const gateway = await run(setting)
    const first = await chat(gateway.url, { max_tokens: 100 })
    expect(first.status, first.text).to.equal(200)
    expect(first.headers.get('ratelimit-policy')).to.match(/^"budget";q=30000;w=/)
    const { cost, calls, priced, inputTokens, outputTokens } = await report(gateway.url)
    expect({ calls, priced }).to.deep.equal({ calls: 1, priced: 1 })
    expect(Number(cost)).to.be.closeTo((Number(inputTokens) * 100 + Number(outputTokens) * 10) / 1e6, 1e-12)
    const refused = await chat(gateway.url, { max_tokens: 100_000 })
    expect(refused.status).to.equal(413)
    expect(refused.text).to.include('The quota \\"budget\\" of $0.03 is smaller than this call alone may use')
    const limits = JSON.parse(
      (await get(`${gateway.url}/usage/limits`, { authorization: `Bearer ${SECRETS.caller}` })).text,
    ) as { rows: object[] }
    expect(limits.rows[0]).to.include({ unit: 'cost', quota: '0.03', used: cost })
    const explained = await get(`${gateway.url}/usage/explain?cost=0.05`, { authorization: `Bearer ${SECRETS.caller}` })
    expect((JSON.parse(explained.text) as { rows: object[] }).rows[0]).to.include({
      amount: '0.05',
      quota: '0.03',
      trips: true,
    })
    expect(
      (await get(`${gateway.url}/usage/explain?cost=free`, { authorization: `Bearer ${SECRETS.caller}` })).status,
    ).to.equal(400)
    const metrics = (await get(`${gateway.administrationUrl}/metrics`)).text
    expect(metrics).to.match(/tallygate_usage_cost[^ ]*\{[^}]*\} 0\.00\d+/)
  })

  it('refuses a model without a price', async () => {
    writeFileSync(join(setting.folder, 'prices.yaml'), 'prices: [{ model: other, input: 1 }]')
    const gateway = await run(setting)
    const { status, text: body } = await chat(gateway.url)
    expect([status, (JSON.parse(body) as { error: { code: string } }).error.code]).to.deep.equal([
      403,
      'model_not_priced',
    ])
    expect(setting.provider.requests).to.have.length(0)
  })

  it('goes by new prices after a reload, also when only the price file has changed', async () => {
    const gateway = await run(setting)
    await chat(gateway.url, { max_tokens: 10 })
    const before = Number((await report(gateway.url))['cost'])
    prices(1)
    expect(gateway.reload()).to.equal(true)
    await chat(gateway.url, { max_tokens: 10 })
    const { cost, inputTokens, outputTokens } = await report(gateway.url)
    const [input, output] = [Number(inputTokens) / 2, Number(outputTokens) / 2]
    expect(before).to.be.closeTo((input * 100 + output * 10) / 1e6, 1e-12)
    expect(Number(cost) - before).to.be.closeTo((input * 1 + output * 10) / 1e6, 1e-12)
    writeFileSync(join(setting.folder, 'prices.yaml'), 'prices: [{ model: gpt-4o }]')
    expect(gateway.reload()).to.equal(false)
    expect((await chat(gateway.url, { max_tokens: 10 })).status).to.equal(200)
  })

  describe('that is watched', () => {
    let gateway: Gateway
    beforeEach(async () => {
      gateway = await startGateway(loadConfig(setting.file, {}), { watch: 'always' })
      onClose(() => gateway.stop({ delayMs: 0 }))
    })
    const arePricedBy = async (price: string): Promise<void> => {
      for (const until = Date.now() + 10_000; Date.now() < until;) {
        await chat(gateway.url, { max_tokens: 1 })
        const calls = JSON.parse(
          (await get(`${gateway.url}/usage/calls?limit=1`, { authorization: `Bearer ${SECRETS.caller}` })).text,
        ) as { rows: { pricedBy: string }[] }
        if (calls.rows[0]!.pricedBy === price) return
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      throw new Error('the new prices were never in force')
    }

    it('sees by itself that a price file has changed', async () => {
      writeFileSync(join(setting.folder, 'new.yaml'), 'version: seen\nprices: [{ model: gpt-4o, call: 0.001 }]')
      renameSync(join(setting.folder, 'new.yaml'), join(setting.folder, 'prices.yaml'))
      await arePricedBy('seen gpt-4o')
    })

    for (const [mistake, atFirst] of [
      ['was not there', undefined],
      ['had a mistake', 'prises: []'],
    ] as const) {
      it(`sees by itself that a price file is mended that ${mistake} when it was named`, async () => {
        const file = join(setting.folder, 'later.yaml')
        if (atFirst !== undefined) writeFileSync(file, atFirst)
        writeFileSync(setting.file, text(setting.provider.url, BUDGET, './later.yaml'))
        // Until the change of quota.yaml itself was seen, and is over.
        await new Promise((resolve) => setTimeout(resolve, 600))
        writeFileSync(file, 'version: later\nprices: [{ model: gpt-4o, call: 0.001 }]')
        await arePricedBy('later gpt-4o')
      })
    }
  })

  it('is priced anew by tallygate reprice while the gateway runs, once', async () => {
    const gateway = await run(setting)
    await chat(gateway.url, { max_tokens: 10 })
    const before = await report(gateway.url)
    writeFileSync(join(setting.folder, 'new.yaml'), 'version: new\nprices: [{ model: gpt-4o, call: 2 }]')
    const dry = await reprice('--prices', 'new.yaml', '--dry-run')
    expect(dry.stdout, dry.stderr).to.equal(
      `1 calls, 1 would be priced anew by new, 0 of models without a price.\nCost before: $${before['cost']}. Cost after: $2.00.\nNothing was written.\n`,
    )
    expect((await report(gateway.url))['cost']).to.equal(before['cost'])
    const done = await reprice('--prices', 'new.yaml', '--json')
    expect(JSON.parse(done.stdout)).to.deep.equal({
      calls: 1,
      changed: 1,
      unpriced: 0,
      before: `$${before['cost']}`,
      after: '$2.00',
      prices: 'new',
    })
    expect(await report(gateway.url)).to.include({ calls: 1, cost: '2.00', inputTokens: before['inputTokens'] })
    expect(JSON.parse((await reprice('--prices', 'new.yaml', '--json')).stdout)).to.include({
      changed: 0,
      before: '$2.00',
      after: '$2.00',
    })
    expect(JSON.parse((await reprice('--json')).stdout)).to.include({ changed: 1, after: `$${before['cost']}` })
  })

  it('tells what is wrong with the options of reprice', async () => {
    for (const [args, says] of [
      [['--from', '2026-02-30'], /--from is 2026-02-30: use a date/],
      [['--to', '2019-01-01'], /the range is empty/],
      [['--unpriced', 'free'], /--unpriced is free/],
      [['--prices', 'none.yaml'], /none\.yaml:1:1: can't be read/],
      [['--prices', 'starter'], /^there is no ledger [^\n]*usage\.db: name the configuration of its gateway\n$/],
    ] as const) {
      const { status, stderr } = await reprice(...args)
      expect([status, says.test(stderr)], stderr).to.deep.equal([1, true])
    }
    expect(existsSync(join(setting.folder, '.tallygate'))).to.equal(false)
  })
})
