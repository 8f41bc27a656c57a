/** What a provider is to answer. */
export interface Script {
  /** What the model says. Default: a sentence that begins with the end of the prompt. */
  readonly text?: string
  /** In how many pieces an event stream brings the text. Default: one for each word. */
  readonly pieces?: number
  /** Tokens that the provider says were used. Default: counted from the text, as real as it looks. */
  readonly usage?: Partial<ScriptedUsage>
  /** Whether usage is stated. `as-asked`: in OpenAI's streams only if `stream_options` asks. Default: `as-asked`. */
  readonly statesUsage?: 'as-asked' | 'never'
  /** Answers with this status and an error in its dialect. Default: 200. */
  readonly status?: number
  /** Waits before the answer, in milliseconds. Default: 0. */
  readonly delayMs?: number
  /** Waits between two events of a stream, in milliseconds. Default: 0, all at once. */
  readonly paceMs?: number
  /** Closes the connection after so many events of a stream, or before the answer with 0. Default: never. */
  readonly breakAfter?: number
  /** Compresses the answer, whatever the request accepts. Default: not. */
  readonly encoding?: 'gzip'
  /** Adds OpenAI's random padding to each event of its streams, as it does in 2026. Default: false. */
  readonly obfuscates?: boolean
}

/** Token counts, cached input within input, reasoning within output. */
export interface ScriptedUsage {
  readonly input: number
  readonly output: number
  readonly cached: number
  readonly reasoning: number
}

/** What a provider makes of a request. */
export interface ScriptedAnswer {
  readonly model: string
  readonly text: string
  readonly pieces: readonly string[]
  readonly usage: ScriptedUsage
  /** Whether a stream is to state its usage. */
  readonly statesUsage: boolean
  readonly obfuscates: boolean
}

/** Works out an answer from a script, a model and the text of a prompt. */
export function answerOf(script: Script, model: string, prompt: string, isUsageAsked: boolean): ScriptedAnswer {
  const {
    text = `You said: ${prompt.slice(-40)}. This is the scripted provider, and these are its words.`,
    statesUsage = 'as-asked',
  } = script
  const words = text.match(/\s*\S+/gu) ?? [text]
  const size = Math.ceil(words.length / (script.pieces ?? words.length))
  const pieces = Array.from({ length: Math.ceil(words.length / size) }, (_, index) =>
    words.slice(index * size, (index + 1) * size).join(''),
  )
  const usage = {
    input: Math.ceil(prompt.length / 4) + 7,
    output: Math.ceil(text.length / 4),
    cached: 0,
    reasoning: 0,
    ...script.usage,
  }
  return {
    model,
    text,
    pieces,
    usage,
    statesUsage: statesUsage === 'as-asked' && isUsageAsked,
    obfuscates: script.obfuscates ?? false,
  }
}
