import { memberValue, spliced, withMember } from './json-splice.ts'

const NAME = 'stream_options'
const ASKED = '{"include_usage":true}'

/**
 * Asks an OpenAI-shaped stream to state its usage, by one member spliced into the bytes of the request; everything else
 * stays as the caller wrote it.
 *
 * @param body A JSON object without duplicate keys, as `parseJsonBody` has found it.
 * @returns The changed bytes, or `undefined` where the caller asks for usage already.
 */
export function injectIncludeUsage(body: Buffer, parsed: Readonly<Record<string, unknown>>): Buffer | undefined {
  const options = parsed[NAME]
  const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
  if (isObject && (options as Record<string, unknown>)['include_usage'] === true) return undefined
  const whole = { from: 0, to: body.length }
  if (options === undefined) {
    return withMember(body, whole, `"${NAME}":${ASKED}`, Object.keys(parsed).length === 0)
  }
  const span = memberValue(body, whole, NAME)
  if (span === undefined) return undefined
  if (!isObject) return spliced(body, span.from, span.to, ASKED)
  const asked = memberValue(body, span, 'include_usage')
  if (asked !== undefined) return spliced(body, asked.from, asked.to, 'true')
  return withMember(body, span, '"include_usage":true', Object.keys(options).length === 0)
}
