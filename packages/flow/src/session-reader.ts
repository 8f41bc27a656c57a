import {
  isRaw,
  JsonPicker,
  UsageCollector,
  USAGE_SHAPES,
  type JsonPickTarget,
  type Raw,
  type UsageReading,
  type UsageShape,
  type WebSocketTarget,
} from '@tallygate/metering'
import type { RecordedUsage } from './call-entry.ts'
import { parsedMessage, UnstatedOutput } from './unstated-output.ts'

/** Who is told what the messages of a session say. */
export interface SessionNews {
  /** The provider has stated what was used since it last did. */
  stated(): void
  /** What the caller said was written down by another model, which has used this. */
  transcribed(usage: RecordedUsage): void
  /** The model that answers in the session. */
  modelNamed(model: string): void
}

/** A session names its models in some of its first messages. */
const MOST_FOR_MODELS = 16
const MOST_MODEL_CHARACTERS = 256
const SESSION = Buffer.from('"session"')
/** Source: OpenAI API reference, Realtime server events. */
const TRANSCRIBED = 'conversation.item.input_audio_transcription.completed'

/** Reads what the messages of a session say of usage and models. Only those that can say something are parsed. */
export class SessionReader implements WebSocketTarget, JsonPickTarget {
  /** Since usage was last stated. */
  readonly output = new UnstatedOutput()
  readonly #shape: UsageShape
  readonly #news: SessionNews
  #collector: UsageCollector
  #picker: JsonPicker | undefined
  #longStates = false
  #messagesForModels = MOST_FOR_MODELS
  #model: string | undefined
  #transcriptionModel: string | undefined

  constructor(shape: UsageShape, news: SessionNews) {
    this.#shape = shape
    this.#news = news
    this.#collector = new UsageCollector(shape)
  }

  /** What was stated since it was last taken. */
  get reading(): UsageReading {
    const { reading } = this.#collector
    return reading.model === undefined ? { ...reading, model: this.#model } : reading
  }

  takeReading(): UsageReading {
    const { reading } = this
    this.#collector = new UsageCollector(this.#shape)
    return reading
  }

  /** Takes a message of the provider's. */
  message(message: Buffer): void {
    if (USAGE_SHAPES[this.#shape].needles.some(({ bytes }) => message.includes(bytes))) {
      const document = parsedMessage(message)
      if (isRaw(document)) {
        if (document['type'] === TRANSCRIBED) return this.#transcribed(document['usage'])
        if (this.#collector.absorb(document)) return this.#stated()
      }
    }
    this.output.add(message)
    if (this.#messagesForModels > 0 && message.includes(SESSION)) this.#readModels(parsedMessage(message))
  }

  /** Takes a piece of a message of the provider's that is too long to be held. */
  piece(bytes: Buffer, isLast: boolean): void {
    this.#picker ??= new JsonPicker(USAGE_SHAPES[this.#shape].picks, this)
    this.#picker.write(bytes)
    this.output.addLong(bytes.length)
    if (!isLast) return
    this.#picker = undefined
    const states = this.#longStates
    this.#longStates = false
    if (states) this.#stated()
  }

  /** Takes a member of a long message; for its picker. */
  pick(path: string, value: unknown): void {
    if (this.#collector.pick(path, value)) this.#longStates = true
  }

  #stated(): void {
    this.output.clear()
    this.#news.stated()
  }

  #readModels(document: unknown): void {
    const session = isRaw(document) ? document['session'] : undefined
    if (!isRaw(session)) return
    this.#messagesForModels -= 1
    this.#transcriptionModel = transcriptionModelIn(session) ?? this.#transcriptionModel
    if (this.#model !== undefined) return
    this.#model = modelIn(session)
    if (this.#model !== undefined) this.#news.modelNamed(this.#model)
  }

  #transcribed(stated: unknown): void {
    const collector = new UsageCollector('media')
    if (isRaw(stated)) collector.absorb({ usage: stated })
    const { reported } = collector.reading
    if (reported === undefined) return
    const { input, output, total, audioInput, seconds } = reported
    const model = this.#transcriptionModel
    this.#news.transcribed({
      ...(input === undefined ? {} : { inputTokens: input }),
      ...(output === undefined ? {} : { outputTokens: output }),
      ...(total === undefined ? {} : { totalTokens: total }),
      ...(audioInput === undefined ? {} : { audioInputTokens: audioInput }),
      ...(seconds === undefined ? {} : { seconds }),
      ...(model === undefined ? {} : { model, responseModel: model }),
    })
  }
}

/** The model that a caller's message asks for, if it is one that opens a session. */
export function modelAskedFor(message: Buffer): string | undefined {
  const document = parsedMessage(message)
  const part = isRaw(document) ? (document['setup'] ?? document['session']) : undefined
  return isRaw(part) ? modelIn(part) : undefined
}

/** Of Gemini's, the last part: `models/…`, or `publishers/google/models/…`. */
function modelIn({ model }: Raw): string | undefined {
  if (typeof model !== 'string' || model === '') return undefined
  return model.slice(model.lastIndexOf('/') + 1).slice(0, MOST_MODEL_CHARACTERS)
}

/** Source: OpenAI API reference, Realtime, `session`; the second place is that of its beta. */
function transcriptionModelIn(session: Raw): string | undefined {
  const { audio, input_audio_transcription: beta } = session
  const input = isRaw(audio) ? audio['input'] : undefined
  const transcription = isRaw(input) ? input['transcription'] : beta
  return isRaw(transcription) ? modelIn(transcription) : undefined
}
