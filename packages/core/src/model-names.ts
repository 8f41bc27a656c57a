import type { CompiledPrice } from './model-price.ts'

/** What stands before a model's name in paths of Google and others: `publishers/google/models/`. */
const PATH = /^(?:.*\/)?models\//
/** What tells a snapshot of a model from its name: `-2025-08-07`, `@20250807`, `-0613`, `-001`, `-latest`. */
const SNAPSHOT = /(?:[-@]20\d{2}-?\d{2}-?\d{2}|-\d{3,4}|-latest)$/
const SEPARATORS = /[-._:@/]/

/** The names under which a model can have a price, in lower case, the nearest first. */
export function namesOfModel(model: string): readonly string[] {
  const name = model.trim().toLowerCase()
  const plain = name.replace(PATH, '')
  return [...new Set([name, plain, plain.replace(SNAPSHOT, '')])]
}

/**
 * The prices of the models whose names share the most with a name, from its beginning, in whole words: of `gpt-4.1` and
 * `gpt-4.1-mini` for `gpt-4.1-vision`. All of them where no first word is the same.
 */
export function familyOf(model: string, prices: readonly CompiledPrice[]): readonly CompiledPrice[] {
  const [, plain = ''] = namesOfModel(model)
  const words = (plain === '' ? model.trim().toLowerCase() : plain).split(SEPARATORS)
  let longest = 0
  let family: CompiledPrice[] = [...prices]
  for (const price of prices) {
    const shared = Math.max(...price.models.map((name) => wordsShared(words, name)))
    if (shared === 0 || shared < longest) continue
    if (shared > longest) family = []
    longest = shared
    family.push(price)
  }
  return family
}

/** Words that a name has in common with a pattern's part before its first `*`. */
function wordsShared(words: readonly string[], pattern: string): number {
  const [literal = ''] = pattern.replace(PATH, '').split('*', 1)
  const others = literal.split(SEPARATORS).filter((word) => word !== '')
  let shared = 0
  while (shared < others.length && others[shared] === words[shared]) shared += 1
  return shared
}
