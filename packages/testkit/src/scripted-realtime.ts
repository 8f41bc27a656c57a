import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { ScriptedUsage } from './scripted-answer.ts'
import { acceptWebSocket, ClientFrames, frameOf } from './websocket-peer.ts'

/** What a provider does in a session over WebSocket. */
export interface RealtimeScript {
  /** Tokens that each response says it used. Default: 20 in, 30 out. */
  readonly usage?: Partial<ScriptedUsage>
  /** Words that the model says in a response. Default: 3. */
  readonly words?: number
  /** Bytes of audio in base64 that it says beside each word. Default: none. */
  readonly audioBytes?: number
  /** Refuses the handshake with this status. Default: 101. */
  readonly status?: number
  /** Waits before it agrees, in milliseconds. Default: 0. */
  readonly delayMs?: number
  /** Waits between two messages of a response, in milliseconds. Default: 0. */
  readonly paceMs?: number
  /** Breaks the connection in the first response, after so many of its messages. Default: never. */
  readonly breakAfter?: number
  /** Agrees to this extension, asked or not. Default: to none. */
  readonly extension?: string
}

/** A session as its provider saw it. */
export interface ReceivedSession {
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** What the caller said, message by message. */
  readonly messages: readonly Buffer[]
  /** Every byte that it has sent behind the handshake. */
  readonly sent: readonly Buffer[]
  /** Responses whose usage was stated. */
  readonly responses: number
  /** Code of the caller's close frame. */
  readonly closeCode: number | undefined
  /** When its connection was closed, by `Date.now()`. */
  readonly closedAtMs: number | undefined
  /** Says something to the caller that is in no script. */
  send(bytes: Buffer): void
}

type Message = Readonly<Record<string, unknown>>

/** Plays one session: of OpenAI's Realtime API, or of Gemini's Live API, as its address says. */
export class ScriptedSession implements ReceivedSession {
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly messages: Buffer[] = []
  readonly sent: Buffer[] = []
  responses = 0
  closeCode: number | undefined
  closedAtMs: number | undefined
  readonly #socket: Socket
  readonly #script: RealtimeScript
  readonly #frames = new ClientFrames()
  readonly #isGemini: boolean
  #said: Promise<void> = Promise.resolve()

  constructor(req: IncomingMessage, socket: Socket, head: Buffer, script: RealtimeScript) {
    this.url = req.url ?? ''
    this.headers = req.headers
    this.#socket = socket
    this.#script = script
    this.#isGemini = this.url.includes('BidiGenerateContent')
    const [protocol] = (req.headers['sec-websocket-protocol'] ?? '').split(',')
    acceptWebSocket(req, socket, {
      'x-request-id': `req_session${Date.now()}`,
      'openai-organization': 'org-of-the-account',
      ...(protocol === '' || protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': protocol }),
      ...(script.extension === undefined ? {} : { 'Sec-WebSocket-Extensions': script.extension }),
    })
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      this.closedAtMs = Date.now()
    })
    if (!this.#isGemini)
      this.#say({ type: 'session.created', session: { model: 'gpt-realtime-2026', type: 'realtime' } })
    if (head.length > 0) this.#take(head)
  }

  send(bytes: Buffer): void {
    this.sent.push(bytes)
    this.#socket.write(bytes)
  }

  #take(bytes: Buffer): void {
    for (const { opcode, payload } of this.#frames.push(bytes)) {
      if (opcode === 0x8) {
        this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
        this.send(frameOf(0x8, payload))
        this.#socket.end()
      } else if (opcode === 0x9) this.send(frameOf(0xa, payload))
      else if (opcode <= 0x2) {
        this.messages.push(payload)
        this.#answer(payload)
      }
    }
  }

  #answer(payload: Buffer): void {
    const message = parsed(payload)
    if ('setup' in message) this.#say({ setupComplete: {} })
    if (message['type'] === 'response.create' || isTurn(message['client_content']) || isTurn(message['clientContent']))
      this.#said = this.#said.then(() => this.#respond())
  }

  async #respond(): Promise<void> {
    const { paceMs, breakAfter = Infinity } = this.#script
    for (const [index, message] of this.#response().entries()) {
      if (this.#socket.destroyed) return
      if (index >= breakAfter) return void this.#socket.destroy()
      this.#say(message)
      if (paceMs !== undefined) await new Promise((resolve) => setTimeout(resolve, paceMs))
    }
    this.responses += 1
  }

  #response(): Message[] {
    const { usage, words = 3, audioBytes } = this.#script
    const used = { input: 20, output: 30, cached: 0, reasoning: 0, ...usage }
    const audio = audioBytes === undefined ? undefined : 'A'.repeat(audioBytes)
    const said = Array.from({ length: words }, (_, index) => `word${index} `)
    return this.#isGemini ? liveTurn(said, audio, used) : realtimeResponse(said, audio, used)
  }

  #say(message: Message): void {
    // Gemini sends its JSON in binary frames.
    this.send(frameOf(this.#isGemini ? 0x2 : 0x1, Buffer.from(JSON.stringify(message))))
  }
}

function realtimeResponse(words: readonly string[], audio: string | undefined, usage: ScriptedUsage): Message[] {
  const { input, output, cached } = usage
  return [
    { type: 'response.created', response: { status: 'in_progress', usage: null } },
    ...words.flatMap((delta) => [
      { type: 'response.output_audio_transcript.delta', delta },
      ...(audio === undefined ? [] : [{ type: 'response.output_audio.delta', delta: audio }]),
    ]),
    {
      type: 'response.done',
      response: {
        status: 'completed',
        output: [{ type: 'message', content: [{ type: 'audio', transcript: words.join('') }] }],
        usage: {
          total_tokens: input + output,
          input_tokens: input,
          output_tokens: output,
          input_token_details: { text_tokens: input, audio_tokens: 0, cached_tokens: cached },
          output_token_details: { text_tokens: output, audio_tokens: 0 },
        },
      },
    },
  ]
}

function liveTurn(words: readonly string[], audio: string | undefined, { input, output }: ScriptedUsage): Message[] {
  const part = { inlineData: { mimeType: 'audio/pcm', data: audio } }
  return [
    ...words.flatMap((text) => [
      { serverContent: { outputTranscription: { text } } },
      ...(audio === undefined ? [] : [{ serverContent: { modelTurn: { parts: [part] } } }]),
    ]),
    {
      serverContent: { turnComplete: true },
      usageMetadata: { promptTokenCount: input, responseTokenCount: output, totalTokenCount: input + output },
    },
  ]
}

function isTurn(content: unknown): boolean {
  if (typeof content !== 'object' || content === null) return false
  const { turnComplete, turn_complete: turnCompleteToo } = content as Message
  return turnComplete === true || turnCompleteToo === true
}

function parsed(payload: Buffer): Message {
  try {
    return JSON.parse(payload.toString('utf8')) as Message
  } catch {
    return {}
  }
}
