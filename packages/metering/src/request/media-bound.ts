import { mediaTokens } from '../counting/media-rules.ts'
import { isMedium } from '../counting/medium.ts'
import type { Raw } from '../usage/reported-usage.ts'

/** Sizes that are the dearest for one rule or another: two rows of four tiles, and all that a model looks at. */
const DEAREST = [
  { width: 2_048, height: 768 },
  { width: 3_072, height: 3_072 },
]
/** Objects and lists that are looked at. More of them are at least 40 kB, and count as such. */
const MOST_VALUES = 20_000
/** Members of a request in whose schemas such names are those of parameters. */
const SCHEMAS: ReadonlySet<string> = new Set([
  'tools',
  'functions',
  'toolConfig',
  'tool_config',
  'response_format',
  'text',
])

/**
 * Tokens that the media of a request can have beside its bytes: a picture has more of them than its address has letters,
 * and a small file can hold a large picture. Files and sound that are only referred to count as one picture each, as
 * nobody can tell how long they are.
 */
export function mostMediaTokens(body: Raw, model: string | undefined): number {
  const media = countMedia(body)
  if (media === 0) return 0
  const { image } = mediaTokens(model)
  return media * Math.max(...DEAREST.map((size) => image(size, false)))
}

function countMedia(body: Raw): number {
  let media = 0
  const open: object[] = [body]
  for (let seen = 0; open.length > 0 && seen < MOST_VALUES; seen += 1) {
    const value = open.pop()!
    if (Array.isArray(value)) {
      for (const each of value as readonly unknown[]) {
        if (typeof each === 'object' && each !== null) open.push(each)
        if (open.length > MOST_VALUES) break
      }
    } else
      for (const name in value) {
        const member = (value as Raw)[name]
        if (value === body && SCHEMAS.has(name)) continue
        if (isMedium(name, member)) media += name === 'images' && Array.isArray(member) ? member.length : 1
        else if (typeof member === 'object' && member !== null) open.push(member)
      }
  }
  return media
}
