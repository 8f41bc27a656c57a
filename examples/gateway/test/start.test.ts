import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { freePort } from '@tallygate/testkit'
import { expect } from 'chai'
import { closeExamples, startExample, type ExampleProcess } from './example-process.ts'

/** The `curl` command that an example prints, as a request. */
interface Pasted {
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: string
}

function pastedFrom(output: string): Pasted {
  const command = /curl -i [\s\S]*?\n\n/.exec(output)![0]
  const headers = [...command.matchAll(/-H (["'])([^:]+): (.*?)\1/g)].map(
    ([, , name, value]) => [name!, value!] as const,
  )
  return {
    url: /curl -i (\S+)/.exec(command)![1]!,
    headers: Object.fromEntries(headers),
    body: /-d '(.*)'/.exec(command)![1]!,
  }
}

const paste = ({ url, headers, body }: Pasted): Promise<Response> => fetch(url, { method: 'POST', headers, body })

function urlAfter(output: string, words: string): string {
  return new RegExp(`${words}:\\s+(\\S+)`).exec(output)![1]!
}

describe('examples/gateway', () => {
  let example: ExampleProcess
  const start = async (environment: Readonly<Record<string, string>> = {}): Promise<void> => {
    const ports = { PORT: String(await freePort()), ADMINISTRATION_PORT: String(await freePort()) }
    example = await startExample('gateway/start.ts', { ...ports, ...environment }, /Stop it/)
  }
  afterEach(closeExamples)

  it('answers the request that it prints, until the limit, and shows the calls at the URLs that it prints', async () => {
    await start()
    const request = pastedFrom(example.output)
    const first = await paste(request)
    expect([first.status, first.headers.get('ratelimit')?.slice(0, 26)]).to.deep.equal([
      200,
      '"requests-per-minute";r=4;',
    ])
    expect(await first.text()).to.include('You said: Hello!')
    let passed = 1
    let refused: Response | undefined
    // A minute of the clock may end meanwhile, and another five pass.
    while (refused === undefined && passed < 11) {
      const response = await paste(request)
      if (response.status === 429) refused = response
      else passed += 1
    }
    expect(refused, 'none of 11 requests was refused').to.be.an.instanceOf(Response)
    expect(refused!.headers.get('ratelimit-policy')).to.equal(
      '"requests-per-minute";q=5;w=60, "tokens-per-day";q=100000;w=86400',
    )
    expect(refused!.headers.get('ratelimit')).to.include('"requests-per-minute";r=0;t=')
    expect(Number(refused!.headers.get('retry-after'))).to.be.within(1, 60)
    expect(await refused!.json()).to.have.nested.property('error.code', 'rate_limit_exceeded')

    const report = (await (await fetch(urlAfter(example.output, 'by month'))).json()) as {
      rows: unknown[]
      total: unknown
    }
    expect(report.total).to.include({ calls: passed, failed: 0 })
    expect(report.rows[0]).to.include({ key: 'demo', month: new Date().toISOString().slice(0, 7) })
    const limits = (await (await fetch(urlAfter(example.output, 'limits stand'))).json()) as {
      rows: { limit: string }[]
    }
    expect(limits.rows.map(({ limit }) => limit)).to.deep.equal(['requests-per-minute', 'tokens-per-day'])
    const metrics = await (await fetch(urlAfter(example.output, 'Metrics'))).text()
    expect(metrics).to.match(/^tallygate_decisions_total\{[^}]*"refused"[^}]*\} 1/m)
  })

  it('ends with 0 on Ctrl-C, with connections open, and keeps its files together', async () => {
    await start()
    await (await paste(pastedFrom(example.output))).text()
    const idle = connect(Number(new URL(pastedFrom(example.output).url).port), '127.0.0.1')
    await once(idle, 'connect')
    expect(await example.end('SIGINT')).to.equal(0)
    idle.destroy()
    expect(['usage.db', 'pepper'].map((name) => existsSync(join(example.folder, name)))).to.deep.equal([true, true])
    expect(example.output.split('\n').filter((line) => /error|warn/i.test(line))).to.deep.equal([])
  })

  it('takes a free port where another program has its own', async () => {
    const taken = createServer().listen(8080, '127.0.0.1')
    // Where 8080 is taken already, all the better.
    await Promise.race([once(taken, 'listening'), once(taken, 'error')]).catch(() => {})
    example = await startExample('gateway/start.ts', {}, /Stop it/)
    const { url } = pastedFrom(example.output)
    expect(new URL(url).port).to.not.equal('8080')
    expect((await paste(pastedFrom(example.output))).status).to.equal(200)
    taken.close()
  })

  it('prints no key but that of the demo', async () => {
    await start({ DEMO_KEY: 'a-key-of-somebody-real' })
    expect(example.output).to.not.include('a-key-of-somebody-real')
    const request = pastedFrom(example.output)
    expect(request.headers['Authorization']).to.equal('Bearer $DEMO_KEY')
    const authorized = { ...request.headers, Authorization: 'Bearer a-key-of-somebody-real' }
    expect((await paste({ ...request, headers: authorized })).status).to.equal(200)
  })

  it('has a configuration that is sound without any variable', () => {
    const gateway = join(import.meta.dirname, '../../../packages/gateway/dist/cli.js')
    const file = join(import.meta.dirname, '../quota.yaml')
    const { stdout, stderr } = spawnSync(process.execPath, [gateway, 'check-config', file], {
      encoding: 'utf8',
      env: {},
    })
    expect([stdout, stderr]).to.deep.equal([`${file}: ok\n`, ''])
  })
})
