import { crc32 } from 'node:zlib'
import {
  matchOperation,
  sseDocuments,
  UsageCollector,
  USAGE_SHAPES,
  JsonPicker,
  type Raw,
  type ReportedUsage,
  type UsageReading,
} from '@tallygate/metering'

/** How the documents of an answer stand in its bytes. Messages of a session are one a line. */
export type AnswerFraming = 'json' | 'sse' | 'ndjson' | 'eventstream' | 'messages'

/** An answer of a provider's on one of its paths, and what it says. */
export interface EndpointAnswer {
  /** Id of the row in the table of providers. */
  readonly provider: string
  readonly method?: 'GET'
  /** As a client calls it. */
  readonly path: string
  /** Id of the operation. */
  readonly operation: string
  readonly framing: AnswerFraming
  readonly body: Buffer
  readonly headers?: Readonly<Record<string, string>>
  /** Absent figures must be absent. */
  readonly usage: ReportedUsage | undefined
  readonly shown?: ReportedUsage
  readonly model: string | undefined
}

/** Text that a model may write, and that must not be taken for what the provider says. */
export const TRAP =
  'é🙂 "usage":{"prompt_tokens":9999,"input_tokens":9999},"usageMetadata":{"promptTokenCount":9999}} \u2028\r\n\ndata: [DONE]\n\n'

export function json(document: unknown): { readonly framing: 'json'; readonly body: Buffer } {
  return { framing: 'json', body: Buffer.from(JSON.stringify(document)) }
}

/** Events of one line of data each; a text goes as it is. */
export function sse(...documents: readonly unknown[]): { readonly framing: 'sse'; readonly body: Buffer } {
  const text = (document: unknown): string => (typeof document === 'string' ? document : JSON.stringify(document))
  return { framing: 'sse', body: Buffer.from(documents.map((each) => `data: ${text(each)}\n\n`).join('')) }
}

export function ndjson(...documents: readonly unknown[]): { readonly framing: 'ndjson'; readonly body: Buffer } {
  return { framing: 'ndjson', body: Buffer.from(documents.map((each) => `${JSON.stringify(each)}\n`).join('')) }
}

/** Messages of a session, as its provider sends them. */
export function messages(...documents: readonly unknown[]): { readonly framing: 'messages'; readonly body: Buffer } {
  return { framing: 'messages', body: ndjson(...documents).body }
}

/** Frames of ConverseStream: each document under its event type. */
export function converseFrames(...events: readonly (readonly [type: string, document: unknown])[]): {
  readonly framing: 'eventstream'
  readonly body: Buffer
} {
  return { framing: 'eventstream', body: Buffer.concat(events.map(([type, document]) => awsFrame(type, document))) }
}

/** Frames of InvokeModelWithResponseStream: the model's own documents, in base64. */
export function invokeFrames(...documents: readonly unknown[]): {
  readonly framing: 'eventstream'
  readonly body: Buffer
} {
  const wrapped = documents.map((document) => ({ bytes: Buffer.from(JSON.stringify(document)).toString('base64') }))
  return { framing: 'eventstream', body: Buffer.concat(wrapped.map((each) => awsFrame('chunk', each))) }
}

/** One message of an AWS event stream. Source: Smithy specification, Amazon event stream encoding. */
function awsFrame(type: string, document: unknown): Buffer {
  const headers = Buffer.concat(
    Object.entries({ ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' }).map(
      ([name, value]) =>
        Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.of(7, 0, value.length), Buffer.from(value)]),
    ),
  )
  const payload = Buffer.from(JSON.stringify(document))
  const frame = Buffer.alloc(12 + headers.length + payload.length + 4)
  frame.writeUInt32BE(frame.length, 0)
  frame.writeUInt32BE(headers.length, 4)
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8)
  headers.copy(frame, 12)
  payload.copy(frame, 12 + headers.length)
  frame.writeUInt32BE(crc32(frame.subarray(0, frame.length - 4)), frame.length - 4)
  return frame
}

/** The documents of an answer, taken out of its bytes without any code that is tested here but that of event streams. */
export function documentsIn({ framing, body }: Pick<EndpointAnswer, 'framing' | 'body'>): readonly Raw[] {
  switch (framing) {
    case 'json': {
      const document: unknown = JSON.parse(body.toString())
      return (Array.isArray(document) ? document : [document]) as Raw[]
    }
    case 'sse':
      return sseDocuments(body.toString()) as Raw[]
    case 'ndjson':
    case 'messages':
      return body
        .toString()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Raw)
    case 'eventstream':
      return framesIn(body)
  }
}

function framesIn(body: Buffer): Raw[] {
  const documents: Raw[] = []
  for (let at = 0; at < body.length; at += body.readUInt32BE(at)) {
    const payload = body.subarray(at + 12 + body.readUInt32BE(at + 4), at + body.readUInt32BE(at) - 4)
    const document = JSON.parse(payload.toString()) as Raw
    const inner = document['bytes']
    documents.push(typeof inner === 'string' ? (JSON.parse(Buffer.from(inner, 'base64').toString()) as Raw) : document)
  }
  return documents
}

/** What an answer says, its documents absorbed whole, or picked through as long ones are. */
export function readAnswer(answer: EndpointAnswer, how: 'absorbed' | 'picked'): UsageReading {
  const match = matchOperation(answer.method ?? 'POST', answer.path, answer.provider)
  if (match === undefined) throw new Error(`no operation under ${answer.path}`)
  const collector = new UsageCollector(match.adapter.usage)
  collector.absorbHeaders((name) => answer.headers?.[name])
  for (const document of documentsIn(answer)) {
    if (how === 'absorbed') collector.absorb(document)
    else {
      const picker = new JsonPicker(USAGE_SHAPES[match.adapter.usage].picks, collector)
      picker.write(Buffer.from(JSON.stringify(document)))
      picker.end()
    }
  }
  return collector.reading
}
