import type { JsonBodyFault } from './json-body.ts'

/** Why a body is not taken, JSON or form. */
export type BodyFault = JsonBodyFault | 'not-a-form'

export type FormBody =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: BodyFault }

/** Parts of a form; more than any operation has. */
const MOST_PARTS = 128
/** Of the headers of a part, and of a field that can matter. */
const MOST_HEADER_BYTES = 2_048
const MOST_FIELD_BYTES = 512
const BOUNDARY = /;\s*boundary=(?:"(?<quoted>[^"]{1,70})"|(?<plain>[^\s;"]{1,70}))/i
const FORM_TYPE = /^multipart\/form-data\s*(?:;|$)/i
const NAME = /(?:^|[;\s])name="(?<name>[^"]*)"/i
const NUMBER = /^\d{1,9}$/

/** Whether a content type is that of a form. */
export function isFormType(contentType: string): boolean {
  return FORM_TYPE.test(contentType)
}

/**
 * The short fields of a form (RFC 7578), as a JSON body would have them: numbers and booleans as such, all else as text.
 * Files are passed over without a look at them. A form with two fields of one name that are no list is refused: we could
 * meter one while the provider obeys the other.
 */
export function parseFormBody(bytes: Buffer, contentType: string): FormBody {
  const { quoted, plain } = BOUNDARY.exec(contentType)?.groups ?? {}
  const boundary = quoted ?? plain
  if (boundary === undefined) return { ok: false, fault: 'not-a-form' }
  const delimiter = Buffer.from(`--${boundary}`)
  const between = Buffer.concat([Buffer.from('\r\n'), delimiter])
  let at = bytes.indexOf(delimiter)
  if (at !== 0 && !(at >= 2 && bytes[at - 2] === CR)) return { ok: false, fault: 'not-a-form' }
  const value: Record<string, unknown> = {}
  for (let parts = 0; at !== -1; parts += 1) {
    const from = at + delimiter.length
    if (bytes[from] === DASH && bytes[from + 1] === DASH) return { ok: true, value }
    if (parts === MOST_PARTS) return { ok: false, fault: 'not-a-form' }
    const next = bytes.indexOf(between, from)
    const field = readField(bytes.subarray(from, next === -1 ? bytes.length : next))
    if (field !== undefined) {
      if (Object.hasOwn(value, field.name) && !field.name.endsWith('[]')) return { ok: false, fault: 'duplicate-key' }
      Object.defineProperty(value, field.name, { value: field.value, enumerable: true, configurable: true })
    }
    at = next === -1 ? -1 : next + 2
  }
  return { ok: false, fault: 'not-a-form' }
}

const CR = 0x0d
const DASH = 0x2d

/** A field that is short and no file. */
function readField(part: Buffer): { readonly name: string; readonly value: unknown } | undefined {
  const head = part.subarray(0, MOST_HEADER_BYTES)
  const end = head.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const headers = head.toString('utf8', 0, end)
  const disposition = /^content-disposition:(?<value>.*)$/im.exec(headers)?.groups?.['value'] ?? ''
  const name = NAME.exec(disposition)?.groups?.['name']
  const value = part.subarray(end + 4)
  if (name === undefined || /filename\*?=/i.test(disposition)) return undefined
  // Too long for anything that is looked at, but a second field of its name is still one too many.
  return { name, value: value.length > MOST_FIELD_BYTES ? undefined : typed(value.toString('utf8')) }
}

function typed(text: string): unknown {
  if (text === 'true') return true
  if (text === 'false') return false
  return NUMBER.test(text) ? Number(text) : text
}
