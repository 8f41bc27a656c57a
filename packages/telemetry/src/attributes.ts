import type { Attributes } from '@opentelemetry/api'

/** Names come from callers: longer ones are cut. */
const MOST_CHARACTERS = 128

/** Attributes without those that are absent. */
export function present(
  attributes: Readonly<Record<string, string | number | boolean | string[] | undefined>>,
): Attributes {
  const kept: Attributes = {}
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) kept[name] = value
  return kept
}

/** A name that came from a caller, cut to 128 characters. */
export function cut(text: string | undefined): string | undefined {
  return text?.slice(0, MOST_CHARACTERS)
}
