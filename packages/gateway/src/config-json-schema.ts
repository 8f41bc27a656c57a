import { z } from 'zod'
import { configSchema } from './config-schema.ts'
import { priceFileSchema } from './price-file-schema.ts'

type Node = Readonly<Record<string, unknown>>

/** A text or a number that the environment fills in: what it will be, only the check of the whole configuration sees. */
const REFERENCE = { type: 'string', pattern: '\\$\\{[^}]+\\}' }
const RESTRICTED = ['enum', 'const', 'pattern', 'minLength', 'minimum', 'exclusiveMinimum', 'maximum']

/**
 * `quota.yaml` as a JSON Schema (2020-12), for editors. It knows shapes and words; names that lead nowhere and plans that
 * can't work only `check-config` finds.
 */
export function configJsonSchema(): Node {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as Node
  return { ...(withReferences(schema) as Node), title: 'quota.yaml of Tallygate' }
}

/** A price file as a JSON Schema (2020-12), for editors. */
export function priceFileJsonSchema(): Node {
  const schema = z.toJSONSchema(priceFileSchema, { io: 'input' }) as Node
  return { ...(withReferences(schema) as Node), title: 'prices of Tallygate' }
}

/** Lets a reference to the environment stand wherever a text would not do. */
function withReferences(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withReferences)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).map(([name, value]): [string, unknown] => {
    // Names of members, whatever they are, and not words of the schema.
    if (name === 'properties') return [name, mapped(value as Node)]
    return [name, name === 'propertyNames' ? value : withReferences(value)]
  })
  const own: Node = Object.fromEntries(entries)
  const isScalar = ['string', 'integer', 'number'].includes(String(own['type']))
  const isRestricted = own['type'] !== 'string' || RESTRICTED.some((word) => word in own)
  return isScalar && isRestricted ? { anyOf: [own, REFERENCE] } : own
}

function mapped(properties: Node): Node {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, withReferences(value)]))
}
