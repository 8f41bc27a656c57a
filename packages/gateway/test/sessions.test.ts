import { once } from 'node:events'
import type { Gateway } from '@tallygate/gateway'
import { startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { closeAll, onClose, run, SECRETS, usageOf, writeSetting, type Setting } from './running-gateway.ts'

const TOKENS = 'quota: 3, window: day }, { name: tokens, unit: tokens, quota: 120, window: day'
const PATH = '/openai/v1/realtime?model=gpt-realtime'
const LIVE = '/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent'

/** A WebSocket of the platform's own client, and what came over it. */
class Client {
  readonly socket: WebSocket
  readonly types: string[] = []
  closed: { code: number; reason: string } | undefined

  constructor(url: string, path = PATH, protocols = ['realtime', `openai-insecure-api-key.${SECRETS.caller}`]) {
    this.socket = new WebSocket(url.replace('http', 'ws') + path, protocols)
    this.socket.binaryType = 'arraybuffer'
    this.socket.addEventListener('message', ({ data }) => {
      const text = typeof data === 'string' ? data : Buffer.from(data as ArrayBuffer).toString()
      this.types.push((JSON.parse(text) as { type?: string }).type ?? 'content')
    })
    this.socket.addEventListener('error', () => {})
    this.socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason }
    })
  }

  /** Of a session that is refused, 'open' would be waited for without end. */
  async open(): Promise<this> {
    await Promise.race(['open', 'close'].map((event) => once(this.socket, event)))
    if (this.closed !== undefined) throw new Error(`the session was refused: ${JSON.stringify(this.closed)}`)
    return this
  }

  say(message: unknown): void {
    this.socket.send(JSON.stringify(message))
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + 5_000
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`it does not come about: ${String(holds)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('sessions over WebSocket through a gateway', () => {
  let setting: Setting
  let gateway: Gateway
  beforeEach(async () => {
    setting = await writeSetting('shutdown: { delay: 0s, timeout: 4s }', { plan: TOKENS })
    gateway = await run(setting)
  })
  afterEach(closeAll)

  it('are metered by response, and closed at the quota', () => expectClosedAtQuota())

  it('are so with counters in Redis', async () => {
    const redis = await startRedis()
    onClose(() => redis.stop())
    // A busy machine can be silent for longer than a decision waits by default.
    setting = await writeSetting(`counters: ${redis.url}\ndecideWithin: 10s`, { plan: TOKENS })
    gateway = await run(setting)
    await expectClosedAtQuota()
  })

  async function expectClosedAtQuota(): Promise<void> {
    const client = await new Client(gateway.url).open()
    expect(client.socket.protocol).to.equal('realtime')
    for (const responses of [1, 2, 3]) {
      client.say({ type: 'response.create' })
      await until(async () => ((await usageOf(gateway.url)) as { calls: number }).calls === responses)
    }
    await until(() => client.closed !== undefined)
    expect(client.closed!.code).to.equal(1008)
    expect(client.closed!.reason).to.include('The quota "tokens" of 120 tokens is used up')
    expect(client.types.at(-1)).to.equal('error')
    expect(await usageOf(gateway.url)).to.include({ calls: 3, totalTokens: 150 })
    const [session] = setting.provider.sessions
    expect(session!.headers).to.include({
      authorization: `Bearer ${SECRETS.provider}`,
      'sec-websocket-protocol': 'realtime',
    })
    expect(JSON.stringify(session!.headers)).not.to.include(SECRETS.caller)
    const refused = new Client(gateway.url)
    await until(() => refused.closed !== undefined)
    expect(refused.closed!.code).to.equal(1006)
    expect(setting.provider.sessions).to.have.length(1)
  }

  it('of Gemini are found by the key in their address', async () => {
    const client = await new Client(gateway.url, `${LIVE}?key=${SECRETS.caller}`, []).open()
    client.say({ setup: { model: 'models/gemini-live-2.5-flash' } })
    client.say({ client_content: { turns: [], turnComplete: true } })
    await until(async () => ((await usageOf(gateway.url)) as { calls: number }).calls === 1)
    const [session] = setting.provider.sessions
    expect(session!.headers['x-goog-api-key']).to.equal(SECRETS.provider)
    expect(session!.url).not.to.include(SECRETS.caller)
    client.socket.close()
  })

  it('whose keys nobody has handed out never reach a provider', async () => {
    const client = new Client(gateway.url, PATH, ['realtime', 'openai-insecure-api-key.a-key-of-nobodys'])
    await until(() => client.closed !== undefined)
    expect(setting.provider.sessions).to.deep.equal([])
  })

  it('under no provider’s path are not found', async () => {
    const client = new Client(gateway.url, '/nowhere/v1/realtime')
    await until(() => client.closed !== undefined)
    expect(client.closed!.code).to.equal(1006)
  })

  it('end when it stops: at once where nothing is being said', async () => {
    setting.provider.realtime = { words: 30, paceMs: 10 }
    const idle = await new Client(gateway.url).open()
    const busy = await new Client(gateway.url).open()
    busy.say({ type: 'response.create' })
    await until(() => busy.types.length > 3)
    const stoppedAtMs = performance.now()
    await gateway.stop()
    expect(performance.now() - stoppedAtMs).to.be.below(3_500)
    await until(() => idle.closed !== undefined && busy.closed !== undefined)
    expect([idle.closed!.code, busy.closed!.code]).to.deep.equal([1001, 1001])
    expect(busy.types).to.include('response.done')
    expect(gateway.quota.pending).to.equal(0)
  })
})
