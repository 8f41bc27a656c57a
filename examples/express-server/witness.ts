// #region witness
import { startScriptedProvider } from '@tallygate/testkit'

const provider = await startScriptedProvider({ script: { text: 'Hello!', usage: { input: 3, output: 2 } } })
const answer = await fetch(`${provider.url}/v1/chat/completions`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] }),
})
console.log(await answer.json()) // a chat completion, with that text and that usage
console.log(provider.requests.length) // 1: what reached the provider, seen at its own socket
await provider.close()
// #endregion witness
