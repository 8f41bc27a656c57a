import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { answerOf, type Script, type ScriptedAnswer } from './scripted-answer.ts'
import { anthropicError, message, messageEvents } from './scripted-anthropic.ts'
import { geminiError, generatedContent, streamedContent } from './scripted-gemini.ts'
import { ScriptedSession, type RealtimeScript, type ReceivedSession } from './scripted-realtime.ts'
import { chatCompletion, chatCompletionEvents, openAiError, response, responseEvents } from './scripted-openai.ts'

/** A request as it reached the provider. */
export interface ReceivedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** When the connection of the request closed before its answer was complete, by `Date.now()`. */
  brokenOffAtMs?: number
  /** Events of a stream, or parts of an array, that were written so far. */
  sent?: number
}

export interface ScriptedProviderOptions {
  /** Default: a free one. */
  readonly port?: number
  /** What is answered, or a function that tells for each request. */
  readonly script?: Script | ((request: ReceivedRequest) => Script)
  /** What is done in sessions over WebSocket. */
  readonly realtime?: RealtimeScript
}

/** A provider that speaks the dialects of OpenAI, Anthropic and Gemini, and counts what reaches it. */
export interface ScriptedProvider {
  readonly url: string
  /** Everything that arrived, in order: an independent witness of what was let through. */
  readonly requests: readonly ReceivedRequest[]
  /** Sessions over WebSocket that it has agreed to, in order. */
  readonly sessions: readonly ReceivedSession[]
  /** What is done in sessions from now on. */
  realtime: RealtimeScript
  /** What is answered from now on. */
  script: Script | ((request: ReceivedRequest) => Script)
  /** Closes all connections. */
  close(): Promise<void>
}

type Body = Readonly<Record<string, unknown>>

/** How an operation answers: as one document, or as a stream. */
interface Operation {
  readonly route: RegExp
  readonly error: (status: number) => unknown
  readonly answer: (
    body: Body,
    url: string,
    script: Script,
    match: RegExpExecArray,
  ) => { isStream: boolean; answer: ScriptedAnswer }
  readonly document: (answer: ScriptedAnswer) => unknown
  /** Pieces of a stream, and its media type. */
  readonly stream: (answer: ScriptedAnswer, url: string) => { type: string; pieces: readonly string[] }
}

const SSE = 'text/event-stream; charset=utf-8'
const OPERATIONS: readonly Operation[] = [
  {
    route: /\/chat\/completions$/,
    error: openAiError,
    answer(body, _url, script) {
      const isStream = body['stream'] === true
      const options = body['stream_options'] as { include_usage?: boolean } | null | undefined
      const isAsked = !isStream || options?.include_usage === true
      return { isStream, answer: answerOf(script, modelOf(body), textOf(body['messages']), isAsked) }
    },
    document: chatCompletion,
    stream: (answer) => ({ type: SSE, pieces: chatCompletionEvents(answer) }),
  },
  {
    route: /\/responses$/,
    error: openAiError,
    answer: (body, _url, script) => ({
      isStream: body['stream'] === true,
      answer: answerOf(script, modelOf(body), textOf(body['input']), true),
    }),
    document: (answer) => response(answer),
    stream: (answer) => ({ type: SSE, pieces: responseEvents(answer) }),
  },
  {
    route: /\/messages$/,
    error: anthropicError,
    answer: (body, _url, script) => ({
      isStream: body['stream'] === true,
      answer: answerOf(script, modelOf(body), textOf(body['messages']), true),
    }),
    document: message,
    stream: (answer) => ({ type: SSE, pieces: messageEvents(answer) }),
  },
  {
    route: /\/models\/([^/:]+):(generateContent|streamGenerateContent)$/,
    error: geminiError,
    answer: (body, _url, script, match) => ({
      isStream: match[2] === 'streamGenerateContent',
      answer: answerOf(script, decodeURIComponent(match[1]!), textOf(body['contents']), true),
    }),
    document: generatedContent,
    stream(answer, url) {
      const documents = streamedContent(answer).map((document) => JSON.stringify(document))
      if (url.includes('alt=sse'))
        return { type: 'text/event-stream', pieces: documents.map((document) => `data: ${document}\r\n\r\n`) }
      const pieces = documents.map((document, index) => `${index === 0 ? '[' : ',\r\n'}${document}`)
      return { type: 'application/json; charset=UTF-8', pieces: [...pieces, ']'] }
    },
  },
]

/** Starts a scripted provider on the loopback interface. */
export async function startScriptedProvider({
  port = 0,
  script = {},
  realtime = {},
}: ScriptedProviderOptions = {}): Promise<ScriptedProvider> {
  const requests: ReceivedRequest[] = []
  const sessions: ReceivedSession[] = []
  const sockets = new Set<Socket>()
  const server = createServer((req, res) => void receive(req, res, provider, requests))
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (req, socket: Socket, head) => void openSession(req, socket, head, provider, sessions))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const provider: ScriptedProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sessions,
    realtime,
    script,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
  return provider
}

async function openSession(
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
  { realtime }: ScriptedProvider,
  sessions: ReceivedSession[],
): Promise<void> {
  socket.on('error', () => {})
  if (realtime.delayMs !== undefined) await pause(realtime.delayMs)
  const { status = 101 } = realtime
  if (status === 101) return void sessions.push(new ScriptedSession(req, socket, head, realtime))
  const body = JSON.stringify(openAiError(status))
  const fields = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`
  socket.end(`HTTP/1.1 ${status} Refused\r\n${fields}\r\n\r\n${body}`)
}

async function receive(
  req: IncomingMessage,
  res: ServerResponse,
  provider: ScriptedProvider,
  requests: ReceivedRequest[],
): Promise<void> {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
  await once(req, 'end').catch(() => {})
  const { method = '', url = '', headers } = req
  const received: ReceivedRequest = { method, url, headers, body: Buffer.concat(chunks) }
  requests.push(received)
  res.once('close', () => {
    if (!res.writableFinished) received.brokenOffAtMs = Date.now()
  })
  const path = url.split('?')[0]!
  const match = OPERATIONS.map((operation) => ({ operation, match: operation.route.exec(path) })).find(
    (each) => each.match !== null,
  )
  const body = parsed(received.body)
  if (method !== 'POST' || match?.match == null || body === undefined)
    return json(res, match === undefined ? 404 : 400, openAiError(404))
  const script = typeof provider.script === 'function' ? provider.script(received) : provider.script
  await reply(res, match.operation, match.match, { body, url, script, received })
}

async function reply(
  res: ServerResponse,
  operation: Operation,
  match: RegExpExecArray,
  asked: { body: Body; url: string; script: Script; received: ReceivedRequest },
): Promise<void> {
  const { body, url, script, received } = asked
  if (script.delayMs !== undefined) await pause(script.delayMs)
  if (script.breakAfter === 0) return void res.socket?.destroy()
  const { status = 200 } = script
  if (status !== 200) return json(res, status, operation.error(status))
  const { isStream, answer } = operation.answer(body, url, script, match)
  if (!isStream) return json(res, 200, operation.document(answer), script.encoding)
  const { type, pieces } = operation.stream(answer, url)
  await stream(res, type, pieces, script, received)
}

function json(res: ServerResponse, status: number, document: unknown, encoding?: 'gzip'): void {
  const plain = Buffer.from(JSON.stringify(document))
  const bytes = encoding === 'gzip' ? gzipSync(plain) : plain
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    'x-request-id': requestId(),
    ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
  })
  res.end(bytes)
}

async function stream(
  res: ServerResponse,
  type: string,
  pieces: readonly string[],
  { paceMs, breakAfter = Infinity, encoding }: Script,
  received: ReceivedRequest,
): Promise<void> {
  res.writeHead(200, {
    'content-type': type,
    'cache-control': 'no-cache',
    'x-request-id': requestId(),
    ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
  })
  if (encoding === 'gzip') return void res.end(gzipSync(pieces.slice(0, breakAfter).join('')))
  for (const [index, piece] of pieces.entries()) {
    if (res.destroyed) return
    if (index >= breakAfter) {
      // What was written is to arrive before the connection breaks.
      await pause(5)
      return void res.socket?.destroy()
    }
    res.write(piece)
    received.sent = index + 1
    if (paceMs !== undefined) await pause(paceMs)
  }
  res.end()
}

let answered = 0

/** Like a provider's: another for each answer. */
function requestId(): string {
  answered += 1
  return `req_scripted${String(answered).padStart(10, '0')}`
}

function modelOf(body: Body): string {
  return typeof body['model'] === 'string' ? body['model'] : 'scripted'
}

/** All text in a prompt, whatever its shape. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(textOf).join('')
  if (typeof value !== 'object' || value === null) return ''
  const { content, text, parts } = value as Body
  return textOf(content) + textOf(text) + textOf(parts)
}

function parsed(bytes: Buffer): Body | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null ? (value as Body) : undefined
  } catch {
    return undefined
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
