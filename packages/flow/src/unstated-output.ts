import { isRaw } from '@tallygate/metering'

/** Members that hold what a model says, by their names in messages of sessions. */
const TEXT = Buffer.from('delta"')
const GEMINI_TEXT = Buffer.from('outputTranscription"')
const AUDIO_TYPE = Buffer.from('audio.delta"')
const GEMINI_AUDIO = Buffer.from('inlineData"')

const CHARACTERS_A_TOKEN = 4
/** Of base64, for one token of audio: PCM of 16 bits at 24 kHz, and 50 ms a token. Source: OpenAI, Realtime costs. */
const AUDIO_CHARACTERS_A_TOKEN = (24_000 * 2 * 0.05 * 4) / 3
/** What a message says beside its audio. */
const ABOUT_AUDIO = 250
const MOST_TEXT_BYTES = 16_384

/** What a model has said in a session since its provider last stated what was used: only how much, not what. */
export class UnstatedOutput {
  #characters = 0
  #audioCharacters = 0

  get isEmpty(): boolean {
    return this.#characters === 0 && this.#audioCharacters === 0
  }

  /** About how many tokens it is. */
  get tokens(): number {
    return Math.ceil(this.#characters / CHARACTERS_A_TOKEN + this.#audioCharacters / AUDIO_CHARACTERS_A_TOKEN)
  }

  clear(): void {
    this.#characters = 0
    this.#audioCharacters = 0
  }

  /** Takes a message of the provider's. Of audio, only its length is looked at. */
  add(message: Buffer): void {
    if (message.includes(AUDIO_TYPE) || message.includes(GEMINI_AUDIO))
      this.#audioCharacters += Math.max(1, message.length - ABOUT_AUDIO)
    else if (message.length <= MOST_TEXT_BYTES && (message.includes(TEXT) || message.includes(GEMINI_TEXT)))
      this.#characters += textIn(message)
  }

  /** Takes a message that is too long to be held: it is audio or nothing that was said. */
  addLong(bytes: number): void {
    if (!this.isEmpty) this.#audioCharacters += bytes
  }
}

/** Characters of text that a message adds to what the model says. */
function textIn(message: Buffer): number {
  const document = parsedMessage(message)
  if (!isRaw(document)) return 0
  const { type, delta } = document
  if (typeof delta === 'string') return typeof type === 'string' && type.startsWith('response.') ? delta.length : 0
  const content = document['serverContent']
  const transcription = isRaw(content) ? content['outputTranscription'] : undefined
  const text = isRaw(transcription) ? transcription['text'] : undefined
  return typeof text === 'string' ? text.length : 0
}

/** `undefined` for what is no JSON. */
export function parsedMessage(message: Buffer): unknown {
  try {
    return JSON.parse(message.toString('utf8'))
  } catch {
    return undefined
  }
}
