import type { UsageOutcome } from '@tallygate/core'
import {
  createUsageReader,
  KeptOutput,
  problemBody,
  problemEvent,
  streamFramingOf,
  type AdapterMatch,
  type Dialect,
  type Framing,
  type Problem,
  type RequestFacts,
  type StreamFraming,
  type UsageReader,
  type UsageReading,
} from '@tallygate/metering'
import { ContentDecoder } from './content-decoder.ts'
import type { CutTarget, LiveCut } from './live-cut.ts'
import type { Fields } from './rate-limit-fields.ts'
import { UsageChunkFilter, withoutUsage } from './usage-chunk-filter.ts'

/** What of an answer's head is to be changed before it leaves. */
export interface HeadChange {
  readonly set: Fields
  /** Names in lower case. */
  readonly remove: readonly string[]
}

/** What an answer asks of its call. */
export interface AnsweredCall {
  readonly attemptId: string
  readonly dialect: Dialect
  /** Whether answers are looked into, for what they used. */
  readonly meters: boolean
  readonly metered: {
    readonly match: AdapterMatch | undefined
    readonly facts: RequestFacts
    readonly isUsageInjected: boolean
  }
  rateLimitFields(): Fields
  /** Watches over a stream that some limit cuts; `undefined` where none does. */
  watchStream?(framing: StreamFraming, target: CutTarget): LiveCut | undefined
  finish(outcome: UsageOutcome, facts: AnswerFacts): Promise<void>
}

/** Where an answer goes: to the caller. An object and not a function, as one is made for each call; see docs/benchmarks.md. */
export interface AnswerSink {
  push(bytes: Buffer): void
  /**
   * The answer is cut: its provider is to be stopped, and what comes of it dropped. It ends with these bytes; it breaks
   * off where there are none, or they are not to leave. Where a host can't do that, no answer is cut.
   */
  cut?(ending: Promise<Buffer | undefined>): void
}

/** What an answer has told when it ended. */
export interface AnswerFacts {
  readonly status: number | undefined
  readonly framing: Framing
  readonly reading: UsageReading
  readonly kept: KeptOutput
  readonly isStream: boolean
  readonly providerRequestId: string | undefined
  /** Names of the limits that the stream was cut for; absent where it was not. */
  readonly cutFor?: readonly string[] | undefined
}

const BROKE_OFF: Omit<Problem, 'requestId'> = {
  kind: 'provider-broke-off',
  status: 502,
  message: 'The provider broke off before the end of its answer.',
}
const NOTHING_READ: UsageReading = { reported: undefined, coversOutput: false, model: undefined, isPending: false }
/** Framings in which answers come as they are made. */
const STREAMS: ReadonlySet<Framing> = new Set<Framing>(['sse', 'ndjson', 'eventstream', 'messages'])
/** What ends an event or a line that has only begun. */
const BREAKS = { sse: Buffer.from('\n\n'), ndjson: Buffer.from('\n'), array: Buffer.alloc(0) } as const
const SSE_TYPE = /^text\/event-stream\b/i
const ID = /^[A-Za-z0-9._:/+=-]{1,128}$/

/**
 * An answer on its way to the caller: metered as it passes, byte for byte the same, and not at its end before the call
 * is in the ledger. Only the end waits: the event that ends a stream, the byte that completes the content length, or the
 * end of the message.
 */
export class Answer implements CutTarget {
  readonly #call: AnsweredCall
  readonly #sink: AnswerSink
  #status: number | undefined
  /** Absent where nobody looks into the answer. */
  #reader: UsageReader | undefined
  #filter: UsageChunkFilter | undefined
  #decoder: ContentDecoder | undefined
  #decoding = Promise.resolve()
  /** Decoded bytes go to the caller in place of the encoded ones. */
  #decodesForCaller = false
  /** Absent where no limit cuts the answer. */
  #cut: LiveCut | undefined
  #bytesLeft = Infinity
  #held: Buffer[] | undefined
  #providerRequestId: string | undefined
  #finished: Promise<void> | undefined

  constructor(call: AnsweredCall, sink: AnswerSink) {
    this.#call = call
    this.#sink = sink
  }

  /** Whether the call has been recorded, or is just being. */
  get isFinished(): boolean {
    return this.#finished !== undefined
  }

  /** Whether bytes that were taken may still be on their way: being decoded, or waiting for room in a quota. */
  get isBusy(): boolean {
    return this.#decoder !== undefined || this.#cut?.isWaiting === true
  }

  /** What the answer has told so far. */
  get facts(): AnswerFacts {
    const { framing = 'opaque', reading = NOTHING_READ, kept = new KeptOutput() } = this.#reader ?? {}
    return {
      status: this.#status,
      framing,
      reading,
      kept,
      isStream: STREAMS.has(framing) || (framing === 'json' && this.#call.metered.facts.stream),
      providerRequestId: this.#providerRequestId,
      ...(this.#cut?.isCut === true ? { cutFor: this.#cut.limits } : {}),
    }
  }

  /**
   * Takes the head before it leaves.
   *
   * @param headers Gives the value of a header by its name in lower case.
   */
  head(status: number, headers: { getHeader(name: string): unknown }): HeadChange {
    this.#status = status
    const type = text(headers.getHeader('content-type'))
    const coding = text(headers.getHeader('content-encoding')).trim().toLowerCase()
    const length = text(headers.getHeader('content-length'))
    if (/^\d+$/.test(length)) this.#bytesLeft = Number(length)
    const given = text(headers.getHeader('x-request-id'))
    const upstreamId = given || text(headers.getHeader('request-id'))
    if (ID.test(upstreamId) && upstreamId !== this.#call.attemptId) this.#providerRequestId = upstreamId
    if (this.#call.meters && status >= 200 && status < 300) this.#meter(type, coding, headers)
    const own = given === '' ? { 'x-request-id': this.#call.attemptId } : {}
    const remove = this.#decodesForCaller ? ['content-encoding', 'content-length'] : []
    if (this.#cut !== undefined) remove.push('content-length')
    if (remove.length > 0) this.#bytesLeft = Infinity
    return { set: { ...this.#call.rateLimitFields(), ...own }, remove }
  }

  /** Takes the next bytes of the body. */
  write(chunk: Buffer): void {
    if (chunk.length === 0) return
    if (this.#decoder === undefined) return this.#take(chunk)
    if (!this.#decodesForCaller) this.#forward(chunk)
    this.#decoding = this.#decoding.then(() => this.#decoder!.write(chunk))
  }

  /** Resolves when what was written has gone on. */
  async settled(): Promise<void> {
    await this.#decoding
    await this.#cut?.settled()
  }

  /**
   * The body is complete, with these last bytes. Resolves when the call is in the ledger, or the time that its end may wait is over, with the
   * bytes that were kept back. Rejects where the end must not leave before, or not look like one.
   */
  async end(last?: Buffer): Promise<Buffer | undefined> {
    this.#bytesLeft = Math.min(this.#bytesLeft, last?.length ?? 0)
    if (last !== undefined) this.write(last)
    if (this.#decoder !== undefined) {
      await this.#decoding
      await this.#decoder.end()
      if (this.#decodesForCaller && this.#decoder.isBroken) return this.#failDecoding()
    }
    if (this.#cut !== undefined) {
      await this.#cut.end()
      if (this.#cut.isCut) return undefined
    }
    this.#endOfBody()
    await this.#finish('complete')
    const held = this.#held
    this.#held = undefined
    return held === undefined || held.length === 0 ? undefined : held.length === 1 ? held[0] : Buffer.concat(held)
  }

  /** The caller has hung up: what was sent by then is counted. */
  async abort(): Promise<void> {
    this.#decoder?.destroy()
    this.#cut?.abandon()
    await this.#finish('aborted')
  }

  /**
   * The provider has broken off. Returns the bytes that tell a stream's reader so, in the dialect of the call;
   * `undefined` where only a broken connection can tell.
   */
  async fail(problem = BROKE_OFF): Promise<Buffer | undefined> {
    const wasTerminated = this.#held !== undefined
    this.#decoder?.destroy()
    this.#cut?.abandon()
    await this.#finish('failed')
    if (wasTerminated || (this.#decoder !== undefined && !this.#decodesForCaller)) return undefined
    const event = this.#failureEvent(problem)
    if (event === undefined) return undefined
    const isWithinEvent = this.#filter === undefined && this.#reader?.isWithinEvent === true
    return Buffer.from(isWithinEvent ? `${this.#reader?.framing === 'sse' ? '\n\n' : '\n'}${event}` : event)
  }

  /** What says in a stream's own framing that it failed; `undefined` where its readers know no such thing. */
  #failureEvent(problem: Omit<Problem, 'requestId'>): string | undefined {
    const { metered, dialect, attemptId } = this.#call
    const told = { ...problem, requestId: attemptId }
    if (this.#reader?.framing === 'sse') return problemEvent(metered.match?.adapter.id ?? '', dialect, told)
    // Ollama's clients take a line with an error for one.
    if (this.#reader?.framing === 'ndjson' && dialect === 'ollama') return `${problemBody(dialect, told).body}\n`
    return undefined
  }

  /** The stream has used up its quota; for its {@link LiveCut}. */
  cut(): void {
    this.#sink.cut?.(this.#endCut())
  }

  #meter(contentType: string, coding: string, headers: { getHeader(name: string): unknown }): void {
    const { match, isUsageInjected } = this.#call.metered
    const changes = isUsageInjected && SSE_TYPE.test(contentType)
    if (coding !== '' && coding !== 'identity') {
      this.#decoder = ContentDecoder.for(coding, (bytes) => this.#take(bytes))
      if (this.#decoder === undefined) return
      this.#decodesForCaller = changes
    }
    if (changes) this.#filter = new UsageChunkFilter()
    const shape = match!.adapter.usage
    this.#reader = createUsageReader({ shape, contentType, header: (name) => headers.getHeader(name) })
    const framing = streamFramingOf(contentType, this.#call.metered.facts.stream)
    if (framing === undefined || this.#sink.cut === undefined) return
    this.#cut = this.#call.watchStream?.(framing, this)
    // Only into plain bytes can an end be written.
    if (this.#cut !== undefined) this.#decodesForCaller = this.#decoder !== undefined
  }

  /** Takes decoded bytes. */
  #take(bytes: Buffer): void {
    if (this.#cut === undefined) this.pass(bytes)
    else this.#cut.write(bytes)
  }

  /** Meters decoded bytes, and lets them go on if nobody else did; for {@link LiveCut}. */
  pass(bytes: Buffer): void {
    const goesOn = this.#decoder === undefined || this.#decodesForCaller
    const passing = this.#filter === undefined ? bytes : this.#filter.push(bytes)
    if (passing.length === 0) return
    const terminalAt = this.#reader?.write(passing) ?? -1
    if (!goesOn) return
    if (terminalAt === -1) return this.#forward(this.#changed(passing))
    this.#forward(this.#changed(passing.subarray(0, terminalAt)))
    this.#hold(passing.subarray(terminalAt))
    this.#cut?.close()
    this.#releaseWhenFinished()
  }

  /** Whole events as the caller would have got them without us. */
  #changed(events: Buffer): Buffer {
    return this.#filter === undefined ? events : withoutUsage(events)
  }

  #forward(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#bytesLeft -= bytes.length
    if (this.#held !== undefined || this.#bytesLeft <= 0) return this.#hold(bytes)
    this.#sink.push(bytes)
  }

  #hold(bytes: Buffer): void {
    this.#held ??= []
    this.#held.push(bytes)
  }

  /** Lets the event that ends a stream go when the call is in the ledger, also if the connection stays open. */
  #releaseWhenFinished(): void {
    this.#finish('complete').then(
      () => {
        const held = this.#held ?? []
        this.#held = undefined
        for (const bytes of held) this.#sink.push(bytes)
      },
      // The end of the answer will meet the same error.
      () => {},
    )
  }

  /** What ends the stream in its dialect, when what has left of it is in the ledger. */
  async #endCut(): Promise<Buffer | undefined> {
    this.#decoder?.destroy()
    const isWithinEvent = this.#filter === undefined && this.#cut!.isWithinEvent
    await this.#finish('complete')
    const ending = await this.#cut!.ending()
    // Of a provider that has come to its end already, what was let go on waits for ours.
    const held = this.#held ?? []
    this.#held = undefined
    return Buffer.concat([...held, ...(isWithinEvent ? [BREAKS[this.#cut!.framing]] : []), ending])
  }

  /** The caller gets decoded bytes, and there are no more of them. */
  async #failDecoding(): Promise<Buffer> {
    const event = await this.fail()
    if (event === undefined) throw new Error('the answer of the provider can not be decoded')
    return event
  }

  #endOfBody(): void {
    const rest = this.#filter?.rest
    if (rest !== undefined && rest.length > 0) {
      this.#reader?.write(rest)
      this.#forward(withoutUsage(rest))
    }
    this.#reader?.end()
  }

  #finish(outcome: UsageOutcome): Promise<void> {
    this.#finished ??= this.#call.finish(outcome, this.facts)
    return this.#finished
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}
