// What `npm start` runs: the gateway on its embedded default in front of a scripted provider, and what to paste.
import { fileURLToPath } from 'node:url'
import { loadConfig, startGateway } from '@tallygate/gateway'
import { freePort, startScriptedProvider } from '@tallygate/testkit'

const provider = await startScriptedProvider()
const environment: NodeJS.ProcessEnv = {
  PORT: await usable(8080),
  ADMINISTRATION_PORT: await usable(8081),
  ...process.env,
  PROVIDER_URL: provider.url,
}
// #region gateway
const gateway = await startGateway(loadConfig(fileURLToPath(new URL('quota.yaml', import.meta.url)), environment))

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void gateway.stop({ delayMs: 0 }).then(() => provider.close())
  })
}
// #endregion gateway

// A key of your own is not printed: the shell puts it in.
const key = environment['DEMO_KEY'] === undefined ? 'tallygate-demo-key' : '$DEMO_KEY'

console.log(`
Tallygate is up, in front of a scripted provider. A request to paste; the sixth within a minute is refused:

  curl -i ${gateway.url}/openai/v1/chat/completions \\
    -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' \\
    -d '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}'

What the key has used, by month:  ${gateway.url}/usage?key=${key}
Where its limits stand:           ${gateway.url}/usage/limits?key=${key}
Metrics:                          ${gateway.administrationUrl}/metrics

Stop it with Ctrl-C.`)

/** The port, or a free one where another program has it. */
async function usable(port: number): Promise<string> {
  const { createServer } = await import('node:net')
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => void freePort().then((free) => resolve(String(free))))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(String(port))))
  })
}
