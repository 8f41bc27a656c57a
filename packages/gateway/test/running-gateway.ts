import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig, startGateway, type Gateway } from '@tallygate/gateway'
import { startScriptedProvider, type ScriptedProvider } from '@tallygate/testkit'

/** Everything that no log, no answer and no provider may ever see, but where it belongs. */
export const SECRETS = {
  caller: 'caller-key-0123456789',
  other: 'another-caller-key-01',
  provider: 'provider-key-of-ours',
  administrator: 'administrator-key-0001',
  pepper: 'a-pepper-that-only-these-tests-know',
} as const
export const PROMPT = 'a prompt that is nobody else’s business'

const manifest = join(dirname(fileURLToPath(import.meta.resolve('@tallygate/gateway'))), '../package.json')
const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: Record<string, string> }
/** The command of the package, as `npx tallygate` finds it. */
export const COMMAND = join(dirname(manifest), bin['tallygate']!)

/** A gateway in front of a scripted provider, in a folder of its own. */
export interface Setting {
  readonly folder: string
  readonly file: string
  readonly provider: ScriptedProvider
}

/** What is answered, with its body as text. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

const cleanUps: (() => Promise<void> | void)[] = []

/** For `afterEach`: closes what the test has opened, the latest first. */
export async function closeAll(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
}

/** Has something closed when the test is over. */
export function onClose(cleanUp: () => Promise<void> | void): void {
  cleanUps.push(cleanUp)
}

/** A folder with a `quota.yaml`: three providers, two keys, one plan of three requests a day, and what a test adds. */
export async function writeSetting(
  further = '',
  { keys = `[${SECRETS.administrator}]`, plan = 'quota: 3, window: day', log = 'silent' } = {},
): Promise<Setting> {
  return writeConfig(
    ({ url }) => `listen: { port: 0 }
administration: { port: 0, keys: ${keys} }
providers:
  openai: { target: '${url}', credential: { swap: ${SECRETS.provider} } }
  anthropic: { target: '${url}/', credential: { swap: ${SECRETS.provider} } }
  gemini: { target: '${url}', credential: { swap: ${SECRETS.provider} } }
keys:
  - { id: caller, secret: ${SECRETS.caller}, plans: [trial] }
  - { id: other, secret: ${SECRETS.other}, tenant: acme }
plans:
  trial: { limits: [{ name: requests, unit: requests, ${plan} }] }
pepper: ${SECRETS.pepper}
log: ${log}
${further}`,
  )
}

/** As {@link writeSetting}, with a `quota.yaml` of the test's own. */
export async function writeConfig(text: (provider: ScriptedProvider) => string): Promise<Setting> {
  const provider = await startScriptedProvider()
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-gateway-'))
  onClose(async () => {
    await provider.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const file = join(folder, 'quota.yaml')
  writeFileSync(file, text(provider))
  return { folder, file, provider }
}

/** Starts the gateway of a setting in this process. */
export async function run({ file }: Pick<Setting, 'file'>): Promise<Gateway> {
  const gateway = await startGateway(loadConfig(file, {}))
  onClose(() => gateway.stop({ delayMs: 0 }))
  return gateway
}

export async function get(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, { headers })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** A chat by one of the keys, or with other headers and members. */
export async function chat(
  base: string,
  {
    key = SECRETS.caller,
    path = '/openai/v1/chat/completions',
    headers = {},
    ...members
  }: {
    readonly key?: string
    readonly path?: string
    readonly headers?: Record<string, string>
    readonly stream?: boolean
    readonly max_tokens?: number
    readonly prediction?: string
  } = {},
): Promise<Answer> {
  const response = await fetch(base + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: PROMPT }],
      contents: [{ parts: [{ text: PROMPT }] }],
      ...members,
    }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** Sends bytes as they are, past all that clients do to a URL. Returns the head of the answer and what came with it. */
export async function sendRaw(base: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(base).port), '127.0.0.1')
  socket.on('error', () => {}).write(bytes)
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (text.includes('\r\n\r\n')) socket.destroy()
  })
  await once(socket, 'close')
  return text
}

/** The callers' own report, by day. */
export async function usageOf(base: string, key: string = SECRETS.caller): Promise<Record<string, number>> {
  const { text } = await get(`${base}/usage`, { authorization: `Bearer ${key}` })
  return (JSON.parse(text) as { total: Record<string, number> }).total
}
