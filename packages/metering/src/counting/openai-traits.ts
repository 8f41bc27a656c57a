import type { Encoding } from './token-family.ts'

/** What differs between the generations of OpenAI's models in how a prompt is written down for them, in tokens. */
export interface OpenAiTraits {
  readonly encoding: Encoding
  /** The beginning of the answer. */
  readonly priming: number
  readonly perMessage: number
  /** Beside `perMessage`, for each message of the model's. */
  readonly perAnswer: number
  /** Objects of tools' schemas stand on one line where they can. */
  readonly hasOneLiners: boolean
  /** Beside the rendered tools, in chat completions and in responses. */
  readonly perTools: number
  readonly perResponsesTools: number
  /** Beside the name of a tool that must be called; absent: naming one costs nothing. */
  readonly perChoice: number | undefined
  /** Beside the name and arguments of a call, in chat completions and in responses. */
  readonly perCall: number
  readonly perResponsesCall: number
  /**
   * Which calls in a response's input cost more, as OpenAI has them as the model wrote them: those with an identifier of
   * OpenAI's and a status, those with an identifier of its, or all.
   */
  readonly knowsCalls: 'by id and status' | 'by id' | 'all'
  /** Beside the result and the tool's name. */
  readonly perResult: number
  /** Results are headed by the tool's name with its namespace. */
  readonly isWholeName: boolean
  /** Beside several tools, where no two may be called at once. */
  readonly perSerial: number
  /** Beside tools, where a response has a ceiling. */
  readonly perCeiling: number
  /** Without a description, the first tool costs one less. */
  readonly isFirstDescribed: boolean
  /** Only the text of messages counts. */
  readonly isBare: boolean
}

const NEWER: OpenAiTraits = {
  encoding: 'o200k_base',
  priming: 3,
  perMessage: 4,
  perAnswer: 0,
  hasOneLiners: true,
  perTools: 9,
  perResponsesTools: 3,
  perChoice: 7,
  perCall: 2,
  perResponsesCall: 0,
  knowsCalls: 'by id and status',
  perResult: 2,
  isWholeName: false,
  perSerial: 16,
  perCeiling: 0,
  isFirstDescribed: false,
  isBare: false,
}
const REASONING: OpenAiTraits = { ...NEWER, priming: 2, perResponsesTools: 6, perChoice: undefined }
const GPT_5: OpenAiTraits = {
  ...NEWER,
  priming: 2,
  perAnswer: 2,
  perTools: 91,
  perResponsesTools: 9,
  perChoice: undefined,
  perCall: 6,
  perResponsesCall: 6,
  knowsCalls: 'by id',
  perResult: 1,
  isWholeName: true,
  perSerial: 78,
  isFirstDescribed: true,
}
/** The large ones of the first GPT-5. */
const GPT_5_LARGE: OpenAiTraits = { ...GPT_5, perCeiling: 3 }
const OLDER: OpenAiTraits = { ...NEWER, encoding: 'cl100k_base', perChoice: 4, perCall: 3, perResult: 1, perSerial: 0 }

/** The first row whose pattern a model's name matches counts; names come with or without a provider's prefix. */
const TRAITS: readonly (readonly [RegExp, OpenAiTraits])[] = [
  [/gpt-4o(?:-mini)?-search/, { ...NEWER, priming: 0, perMessage: 0, isBare: true }],
  [/(?:^|[/:.])gpt-?5(?:-codex)?(?:-20\d\d-\d\d-\d\d)?$/, GPT_5_LARGE],
  [/(?:^|[/:.])gpt-?5\.[4-9]/, { ...GPT_5, knowsCalls: 'all' }],
  [/(?:^|[/:.])gpt-?5(?!-chat)/, GPT_5],
  [/codex-mini/, { ...REASONING, perResponsesTools: 7 }],
  [/(?:^|[/:.])(?:o[1-9](?![a-z\d])|codex)/, REASONING],
  [/gpt-3\.?5-turbo-0301/, { ...OLDER, perMessage: 5 }],
  [/gpt-4(?:-32k)?(?:-0314|-0613)?$/, { ...OLDER, hasOneLiners: false }],
  [/gpt-3\.?5|gpt-4(?!o|\.\d)|text-embedding|davinci-002|babbage-002/, OLDER],
  [/gpt-4|gpt-5|chatgpt|gpt-audio|gpt-realtime|gpt-image|computer-use/, NEWER],
]

/** How OpenAI's models read prompts, by a model's name; absent for models that are not OpenAI's. */
export function openAiTraits(model: string): OpenAiTraits | undefined {
  return TRAITS.find(([pattern]) => pattern.test(model))?.[1]
}

/** What an unknown name is taken for. */
export const OPENAI_NEWER = NEWER
