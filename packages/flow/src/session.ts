import { randomBytes } from 'node:crypto'
import type { UsageFlag, UsageOutcome } from '@tallygate/core'
import {
  clientFrame,
  closePayload,
  problemMessage,
  serverFrame,
  WebSocketReader,
  type ProblemKind,
  type UsageReading,
} from '@tallygate/metering'
import type { Call } from './call.ts'
import type { RecordedUsage } from './call-entry.ts'
import type { Denial } from './denial.ts'
import { modelAskedFor, SessionReader } from './session-reader.ts'
import type { Walk } from './walk.ts'

/** Where the bytes of a session go. */
export interface SessionSink {
  toCaller(bytes: Buffer): void
  toProvider(bytes: Buffer): void
  /** There are no more: both connections are to be closed, within half a second. */
  close(): void
}

/** Why a session is closed by us: what its caller is told, if its dialect can say so, and the close frame. */
interface Closing {
  readonly message?: string | undefined
  readonly code: number
  readonly reason: string
  readonly flags?: readonly UsageFlag[]
}

/** Codes of close frames. Source: RFC 6455 section 7.4, and its registry at IANA. */
const NORMAL = 1000
const GOING_AWAY = 1001
const POLICY_VIOLATION = 1008
const INTERNAL_ERROR = 1011
const TRY_AGAIN_LATER = 1013
const BAD_GATEWAY = 1014
const CLOSE_CODES: Readonly<Partial<Record<ProblemKind, number>>> = {
  'rate-limited': POLICY_VIOLATION,
  'quota-exhausted': POLICY_VIOLATION,
  'too-large-for-quota': POLICY_VIOLATION,
  unavailable: TRY_AGAIN_LATER,
  internal: INTERNAL_ERROR,
  'provider-broke-off': BAD_GATEWAY,
}
/** Why a session can end other than that a quota has no room. */
const NOT_AT_QUOTA: ReadonlySet<ProblemKind> = new Set(['unavailable', 'unpriced-model'])
/** How long a message that is under way may take to its end before the session is closed within it. */
const MOST_UNDER_WAY_MS = 300
/** A caller names the model in one of its first messages. */
const MOST_FOR_MODEL = 8

/**
 * A session over WebSocket: its messages pass byte for byte, undelayed, and are read as they do. Each time that its
 * provider states what was used, one call of the session is recorded and settled, and the next one admitted; where that
 * has no room, the session is closed. The hold of a session's concurrency lasts as long as it does. See ADR 30.
 */
export class Session {
  readonly #walk: Walk
  readonly #sink: SessionSink
  readonly #reader: SessionReader
  readonly #provider: WebSocketReader
  readonly #caller: WebSocketReader
  #call: Call
  #isFirst = true
  #isAdmitted = true
  #messagesForModel = MOST_FOR_MODEL
  /** Between two calls: one is being settled, and the next decided on. */
  #following: Promise<void> | undefined
  /** How many such steps there were. */
  #steps = 0
  #isStated = false
  #isLeaving = false
  #closing: Closing | undefined
  #timer: NodeJS.Timeout | undefined
  #isOver = false
  #ended: Promise<void> | undefined

  constructor(walk: Walk, first: Call, sink: SessionSink) {
    this.#walk = walk
    this.#call = first
    this.#sink = sink
    this.#reader = new SessionReader(first.metered.match!.adapter.usage, {
      stated: () => this.#stated(),
      transcribed: (usage) => this.#transcribed(usage),
      modelNamed: (model) => this.#learnModel(model),
    })
    this.#provider = new WebSocketReader(this.#reader)
    this.#caller = new WebSocketReader({ message: (payload) => this.#asked(payload), piece: () => {} })
    if (first.metered.facts.model !== undefined) this.#caller.stopReading()
    walk.sessions.add(this)
  }

  /** Whether no byte passes any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Takes bytes from the provider. */
  fromProvider(bytes: Buffer): void {
    if (this.#isOver) return
    if (this.#closing === undefined) {
      this.#sink.toCaller(bytes)
      this.#provider.write(bytes)
      return
    }
    const boundary = this.#provider.write(bytes)
    this.#sink.toCaller(boundary === -1 ? bytes : bytes.subarray(0, boundary))
    if (boundary !== -1) this.#carryOut(true)
  }

  /** Takes bytes from the caller. */
  fromCaller(bytes: Buffer): void {
    if (this.#isOver) return
    this.#sink.toProvider(bytes)
    this.#caller.write(bytes)
  }

  /** The caller's connection has ended, or broke. */
  callerEnded(): void {
    if (this.#isOver) return
    this.#over()
    this.#tellProvider()
    this.#sink.close()
    void this.#end(this.#isClosed ? 'complete' : 'aborted')
  }

  /** The provider's connection has ended, or broke. */
  providerEnded(): void {
    if (this.#isOver) return
    if (this.#isClosed) {
      this.#over()
      this.#sink.close()
      void this.#end('complete')
      return
    }
    this.#closing = this.#closingFor('provider-broke-off', 'The provider broke off.')
    this.#carryOut(this.#provider.isBetween, 'failed')
  }

  /** Nobody has said anything for too long. */
  idle(): void {
    this.#close({ code: GOING_AWAY, reason: 'Nothing was said for too long.' })
  }

  /** Closes the session when its provider has stated what was used, or after a time. */
  leave(withinMs: number): void {
    if (this.#isLeaving || this.#isOver) return
    this.#isLeaving = true
    if (this.#reader.output.isEmpty && this.#following === undefined) return this.#goAway()
    setTimeout(() => this.#goAway(), withinMs).unref()
  }

  /** Either side has said that it closes. */
  get #isClosed(): boolean {
    return this.#provider.closeCode !== undefined || this.#caller.closeCode !== undefined
  }

  #goAway(): void {
    this.#close({ code: GOING_AWAY, reason: 'The server is going away. Connect again.' })
  }

  /** Reads the model out of what the caller says first, where the address did not name it. */
  #asked(message: Buffer): void {
    this.#messagesForModel -= 1
    const model = modelAskedFor(message)
    if (model !== undefined) this.#learnModel(model)
    else if (this.#messagesForModel === 0) this.#caller.stopReading()
  }

  #learnModel(model: string): void {
    if (this.#call.metered.facts.model !== undefined) return
    this.#caller.stopReading()
    this.#inTurn(async () => {
      const denial = await this.#call.learnModel(model)
      if (denial !== undefined) this.#refuse(denial)
    })
  }

  #stated(): void {
    this.#isStated = true
    this.#follow()
  }

  /** A call of its own, beside the one that goes on. */
  #transcribed(usage: RecordedUsage): void {
    if (this.#closing !== undefined) return
    this.#inTurn(() => {
      this.#call.record(usage)
      return this.#finishAndFollow(this.#reader.reading)
    })
  }

  /** Ends the call that has its figures, and begins the next. */
  #follow(): void {
    if (this.#following !== undefined || this.#isOver || this.#closing !== undefined) return
    this.#inTurn(() => this.#nextCall())
  }

  /** One after the other. */
  #inTurn(step: () => Promise<void>): void {
    const before = this.#following
    this.#steps += 1
    const number = this.#steps
    const following = async (): Promise<void> => {
      await before
      try {
        await step()
      } catch {
        // Its entry must not be late, and is; or the counters have failed.
        this.#close(this.#closingFor('internal', 'The session can not be recorded right now.'))
      }
      if (this.#steps !== number) return
      this.#following = undefined
      if (this.#isStated) this.#follow()
      else if (this.#isLeaving && this.#reader.output.isEmpty) this.#goAway()
    }
    this.#following = following()
  }

  #nextCall(): Promise<void> {
    this.#isStated = false
    return this.#finishAndFollow(this.#reader.takeReading())
  }

  /** Records and settles a call, and has the next one admitted. */
  async #finishAndFollow(reading: UsageReading): Promise<void> {
    const call = this.#call
    this.#isFirst = false
    this.#call = call.following()
    this.#isAdmitted = false
    await call.finishOfSession('complete', reading)
    // Whether there is something to admit is known when all is over.
    if (this.#isOver) return
    this.#isAdmitted = true
    const denial = await this.#call.admitFollowing()
    if (denial !== undefined) this.#refuse(denial)
  }

  #refuse({ kind, message }: Denial): void {
    this.#close({ ...this.#closingFor(kind, message), flags: NOT_AT_QUOTA.has(kind) ? [] : ['cut-at-quota'] })
  }

  #closingFor(kind: ProblemKind, message: string): Closing {
    const { dialect, attemptId } = this.#call
    const problem = { kind, status: 0, message, requestId: attemptId }
    return { message: problemMessage(dialect, problem), code: CLOSE_CODES[kind] ?? POLICY_VIOLATION, reason: message }
  }

  /** Closes the session at the end of the message that is under way. */
  #close(closing: Closing): void {
    if (this.#closing !== undefined || this.#isOver) return
    this.#closing = closing
    if (this.#provider.isBetween) this.#carryOut(true)
    else this.#timer = setTimeout(() => this.#carryOut(false), MOST_UNDER_WAY_MS)
  }

  /** @param isBetween Whether a frame of ours can go to the caller. */
  #carryOut(isBetween: boolean, outcome: UsageOutcome = 'complete'): void {
    if (this.#isOver) return
    this.#over()
    const { message, code, reason, flags } = this.#closing!
    if (isBetween && this.#provider.closeCode === undefined) {
      if (message !== undefined) this.#sink.toCaller(serverFrame('text', Buffer.from(message)))
      this.#sink.toCaller(serverFrame('close', closePayload(code, reason)))
    }
    this.#tellProvider()
    this.#sink.close()
    void this.#end(outcome, flags)
  }

  /** Says good-bye in the caller's place, who has not. */
  #tellProvider(): void {
    if (!this.#caller.isBetween || this.#caller.closeCode !== undefined) return
    this.#sink.toProvider(clientFrame('close', closePayload(NORMAL, ''), randomBytes(4)))
  }

  #over(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#walk.sessions.delete(this)
  }

  #end(outcome: UsageOutcome, flags?: readonly UsageFlag[]): Promise<void> {
    this.#ended ??= this.#endLast(outcome, flags).catch(() => {})
    return this.#ended
  }

  /** Records what the last call of the session has used, if it is one. */
  async #endLast(outcome: UsageOutcome, flags: readonly UsageFlag[] = []): Promise<void> {
    await this.#following
    const { reading, output } = this.#reader
    const isStated = reading.reported !== undefined
    if (!isStated && output.isEmpty && reading.shown === undefined && !this.#isFirst) return this.#call.release()
    if (!this.#isAdmitted) await this.#call.admitFollowing()
    // What is used after the next call was refused is recorded all the same.
    if (this.#call.isOver) this.#call = this.#call.following()
    if (isStated) return this.#call.finishOfSession(outcome, reading)
    const estimated = { basis: 'estimated', inputTokens: 0, outputTokens: output.tokens } as const
    const said: readonly UsageFlag[] = output.isEmpty ? [] : ['lower-bound', ...flags]
    const { model } = reading
    const named = model === undefined ? {} : { responseModel: model }
    this.#call.record({ ...estimated, ...named, confidence: 'low', flags: said })
    return this.#call.finishOfSession(outcome, reading)
  }
}
