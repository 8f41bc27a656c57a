import { startScriptedProvider } from '@tallygate/testkit'

const provider = await startScriptedProvider({ port: Number(process.env['PORT'] ?? 9090), script: { paceMs: 20 } })
process.once('SIGINT', () => void provider.close())
process.once('SIGTERM', () => void provider.close())
console.log(`scripted provider at ${provider.url}`)
