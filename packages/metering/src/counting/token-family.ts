/** Name of a tiktoken encoding that is shipped. */
export type Encoding = 'o200k_base' | 'cl100k_base'

/** How the tokens of a family of models relate to those of an encoding that we have. */
export interface TokenFamily {
  readonly name: string
  readonly encoding: Encoding
  /** Tokens of an answer's text are this many times those of the encoding. */
  readonly outputFactor: number
  /** Tokens of a prompt: `factor` times those of its text, plus `base`, plus `perMessage` for each message but the first. */
  readonly prompt: { readonly factor: number; readonly base: number; readonly perMessage: number }
}

/** The model's own tokenizer: 4 for each message (3, and its role), 3 for the beginning of the answer. */
const EXACT = { factor: 1, base: 7, perMessage: 4 } as const

const OPENAI_REASONING: TokenFamily = {
  name: 'openai-reasoning',
  encoding: 'o200k_base',
  outputFactor: 1,
  prompt: { factor: 1, base: 6, perMessage: 4 },
}

/**
 * Measured on recorded answers whose provider stated its counts: medians for text of 25 tokens and more. The first row
 * whose pattern a model's name matches counts; names come with or without a provider's prefix.
 */
const FAMILIES: readonly (readonly [RegExp, TokenFamily])[] = [
  [/claude-(?:opus|sonnet|haiku)-(?:4-[7-9]|4\.[7-9]|[5-9])(?!\d)/, family('claude-newest', 1.456, 1.43, 5.6, 2)],
  [/claude-(?:3|2|instant)/, family('claude-3', 1.164, 1.06, 7, 5)],
  [/claude/, family('claude-4', 1.146, 1.16, 5.6, 2)],
  [/gemini-(?:1|2)/, family('gemini-2', 1.049, 1.04, 1, 1)],
  [/gemini|gemma/, family('gemini-3', 1.036, 1, 1, 1)],
  [/llama-?4/, family('llama-4', 1.042, 1.08, 10, 4)],
  [/llama/, family('llama-3', 1.053, 1.08, 10, 4)],
  [/mi[sx]tral|ministral|codestral|magistral|devstral/, family('mistral', 1.079, 1.08, 5, 2)],
  [/grok/, family('grok', 0.994, 1, 180, 2)],
  [/nova-/, family('nova', 1.008, 1, 5, 2)],
  [/command|aya-/, family('cohere', 1.086, 1.09, 5, 2)],
  [/deepseek/, family('deepseek', 1.03, 0.92, 5, 1)],
  [/qwen|qwq/, family('qwen', 1.061, 1.1, 9, 3)],
  [/kimi|moonshot/, family('kimi', 1.205, 1.2, 5, 2)],
  [/(?:^|[/:])(?:o[1-9]|gpt-5)/, OPENAI_REASONING],
  [
    /gpt-oss/,
    { name: 'gpt-oss', encoding: 'o200k_base', outputFactor: 1, prompt: { factor: 1, base: 67, perMessage: 0 } },
  ],
  [
    /gpt-3\.?5|gpt-4(?!o|\.\d)|text-embedding|davinci-002|babbage-002/,
    { name: 'openai-cl100k', encoding: 'cl100k_base', outputFactor: 1, prompt: EXACT },
  ],
]

const OPENAI: TokenFamily = { name: 'openai', encoding: 'o200k_base', outputFactor: 1, prompt: EXACT }

/** The family of a model. An unknown or absent name is taken for one of OpenAI's newer models. */
export function tokenFamily(model: string | undefined): TokenFamily {
  const name = (model ?? '').toLowerCase()
  return FAMILIES.find(([pattern]) => pattern.test(name))?.[1] ?? OPENAI
}

function family(name: string, outputFactor: number, factor: number, base: number, perMessage: number): TokenFamily {
  return { name, encoding: 'o200k_base', outputFactor, prompt: { factor, base, perMessage } }
}
