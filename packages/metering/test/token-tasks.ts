import type { TokenTask } from '@tallygate/metering'

/** To count a text that a model wrote. */
export function outputOf(text: string, model = 'gpt-4o'): TokenTask {
  const body = Buffer.from(JSON.stringify({ choices: [{ message: { content: text } }] }))
  return { kind: 'output', shape: 'openai-chat', framing: 'json', body, model }
}

/** To count a request. */
export function promptOf(body: unknown, model = 'gpt-4o'): TokenTask {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return { kind: 'prompt', shape: 'openai-chat', body: bytes, model }
}
