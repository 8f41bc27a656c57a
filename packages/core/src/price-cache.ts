import type { CompiledPrice } from './model-price.ts'

/** For which names a price was looked up, and between which two changes of the book. */
export interface PriceQuestion {
  readonly provider: string | undefined
  readonly model: string | undefined
  readonly responseModel: string | undefined
  readonly epoch: number
}

interface Answered extends PriceQuestion {
  readonly price: CompiledPrice | undefined
}

const MOST_REMEMBERED = 10_000
/** Of one name, as all of them are looked at. */
const MOST_OF_A_NAME = 16
const NONE: readonly Answered[] = []

/** Remembers prices by the names of calls, without making a key of them: that would take longer than all the rest. */
export class PriceCache {
  readonly #answers = new Map<string, Answered[]>()
  #size = 0

  /** The price that was found, or is found now by a search. Names come from callers: of too many, all are forgotten. */
  get(question: PriceQuestion, search: () => CompiledPrice | undefined): CompiledPrice | undefined {
    const { model, responseModel } = question
    const name = responseModel ?? model ?? ''
    for (const each of this.#answers.get(name) ?? NONE) if (isSame(each, question)) return each.price
    const price = search()
    this.#remember(name, { ...question, price })
    return price
  }

  #remember(name: string, answered: Answered): void {
    if (this.#size >= MOST_REMEMBERED) {
      this.#answers.clear()
      this.#size = 0
    }
    this.#size += 1
    const known = this.#answers.get(name)
    if (known === undefined) this.#answers.set(name, [answered])
    else {
      known.unshift(answered)
      if (known.length > MOST_OF_A_NAME) known.pop()
    }
  }
}

function isSame(one: PriceQuestion, other: PriceQuestion): boolean {
  return (
    one.model === other.model &&
    one.provider === other.provider &&
    one.epoch === other.epoch &&
    one.responseModel === other.responseModel
  )
}
