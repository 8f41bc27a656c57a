import type { MediaTokens, Medium } from './medium.ts'
import { mediumTokens } from './medium.ts'

/** A text that is tokenized by itself, and how many times its tokens count. */
export interface PromptTerm {
  readonly text: string
  readonly factor: number
}

/** How a prompt is counted: texts to tokenize, and tokens that no text of the request shows. */
export interface PromptPlan {
  readonly terms: readonly PromptTerm[]
  readonly overhead: number
  /** The request refers to what only its provider has: the true figure is higher. */
  readonly isLowerBound: boolean
  /** Something was taken for what its like usually is: an image of unknown size, thoughts that are encrypted. */
  readonly isGuess: boolean
}

/** Collects a plan. */
export class PromptPlanner {
  readonly #terms: PromptTerm[] = []
  #overhead = 0
  #isGuess = false

  text(text: string, factor = 1): void {
    if (text !== '') this.#terms.push({ text, factor })
  }

  add(tokens: number): void {
    this.#overhead += tokens
  }

  guess(tokens: number): void {
    this.#overhead += tokens
    this.#isGuess = true
  }

  media(media: readonly Medium[], rule: MediaTokens): void {
    for (const medium of media) {
      const { tokens, isGuess } = mediumTokens(medium, rule)
      this.#overhead += tokens
      this.#isGuess ||= isGuess
    }
  }

  plan(isLowerBound: boolean): PromptPlan {
    return { terms: this.#terms, overhead: this.#overhead, isLowerBound, isGuess: this.#isGuess }
  }
}
