import { tellAddress } from './tell-address.ts'
// #region own-handler
import { fixedWindow, identifyKey, settleUsage } from '@tallygate/express'
import express, { type Request, type Response } from 'express'

const app = express()
app.post(
  '/ask',
  express.json(),
  identifyKey({ keyGenerator: (req) => req.get('x-user') ?? 'nobody' }), // an id that the server vouches for
  fixedWindow({ limit: 20, windowMs: 60_000 }),
  settleUsage(),
  (req, res, next) => void ask(req, res).catch(next),
)

async function ask(req: Request, res: Response): Promise<void> {
  const { question } = req.body as { question: string }
  const { choices, model, usage } = await complete(question) // the server's own way to call a provider
  req.quota?.record({
    provider: 'openai',
    operation: 'chat',
    model,
    inputTokens: usage.prompt_tokens,
    outputTokens: usage.completion_tokens,
  })
  res.type('text').send(choices[0]?.message.content)
}
// #endregion own-handler

interface Completion {
  readonly choices: readonly { readonly message: { readonly content: string } }[]
  readonly model: string
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

async function complete(question: string): Promise<Completion> {
  const answer = await fetch(`${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${process.env['OPENAI_API_KEY']}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: question }] }),
  })
  return (await answer.json()) as Completion
}

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
