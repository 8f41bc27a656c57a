import {
  createUsageReader,
  matchOperation,
  UsageCollector,
  usageReaderFor,
  USAGE_SHAPES,
  type Framing,
  type ReportedUsage,
  type UsageReader,
  type UsageReading,
  type UsageShape,
} from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { documentsIn, readAnswer, type EndpointAnswer } from './answer-bytes.ts'
import { chunkFrame, converseFrame } from './aws-frames.ts'
import { anyCuts, cutAt, singleBytes } from './cuts.ts'
import { EVERY_ANSWER } from './every-answer.ts'

const TYPES: Readonly<Record<Exclude<Framing, 'messages' | 'opaque'>, string>> = {
  json: 'application/json',
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
  eventstream: 'application/vnd.amazon.eventstream',
}

function shapeOf({ method, path, provider }: EndpointAnswer): UsageShape {
  return matchOperation(method ?? 'POST', path, provider)!.adapter.usage
}

function readerOf(answer: EndpointAnswer): UsageReader {
  const shape = shapeOf(answer)
  if (answer.framing === 'messages') return usageReaderFor('messages', new UsageCollector(shape))
  const header = (name: string): unknown => answer.headers?.[name]
  return createUsageReader({ shape, contentType: TYPES[answer.framing], header })
}

/** @param asks Whether it is asked after each piece: then it must not wait for more. */
function read(answer: EndpointAnswer, pieces: readonly Buffer[], asks = false): UsageReading {
  const reader = readerOf(answer)
  for (const piece of pieces) {
    reader.write(piece)
    if (asks) expect(reader.reading).to.be.an('object')
  }
  reader.end()
  return reader.reading
}

function stated(usage: ReportedUsage | undefined): unknown {
  return usage === undefined ? undefined : JSON.parse(JSON.stringify(usage))
}

/** A body that ends after each of its events, lines, frames or messages. */
function stops({ framing, body }: EndpointAnswer): Buffer[] {
  const ends: number[] = []
  if (framing === 'eventstream') for (let at = 0; at < body.length; at += body.readUInt32BE(at)) ends.push(at)
  else if (framing !== 'json') {
    const end = framing === 'sse' ? '\n\n' : '\n'
    for (let at = 0; at !== -1 && at < body.length;) {
      ends.push(at)
      const next = body.indexOf(end, at)
      at = next === -1 ? -1 : next + end.length
    }
  }
  return ends.map((to) => body.subarray(0, to))
}

describe('createUsageReader, of every provider, operation and framing', () => {
  for (const answer of EVERY_ANSWER) {
    const { provider, method = 'POST', path, framing, body } = answer
    const pieces =
      framing === 'messages'
        ? body
            .toString()
            .split('\n')
            .map((line) => Buffer.from(line))
        : undefined

    it(`${provider} ${method} ${path}: reads ${framing}, ${pieces === undefined ? 'cut anywhere' : 'message by message'}`, () => {
      const expected = stated(answer.usage === undefined ? undefined : readAnswer(answer, 'absorbed').reported)
      const expectRight = (each: readonly Buffer[]): void => {
        for (const asks of framing === 'json' ? [false, true] : [false]) {
          const { reported, model } = read(answer, each, asks)
          expect(stated(reported)).to.deep.equal(expected)
          expect(model).to.equal(answer.model)
        }
      }
      if (pieces !== undefined) return expectRight(pieces)
      expectRight([body])
      if (body.length < 8_192) expectRight(singleBytes(body))
      fc.assert(
        fc.property(anyCuts, (cuts) => expectRight(cutAt(body, cuts))),
        { numRuns: runs(10) },
      )
    })

    if (framing === 'json' || framing === 'messages') continue
    it(`${provider} ${method} ${path}: reads what was stated by then, when it stops after each of its events`, () => {
      for (const stopped of stops(answer)) {
        const collector = new UsageCollector(shapeOf(answer))
        collector.absorbHeaders((name) => answer.headers?.[name])
        for (const document of documentsIn({ framing, body: stopped }).filter(isDocument)) collector.absorb(document)
        expect(stated(read(answer, [stopped]).reported)).to.deep.equal(stated(collector.reading.reported))
      }
    })
  }
})

function isDocument(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

describe('traps: what looks like usage, and is none', () => {
  const text =
    '"usage":{"prompt_tokens":9,"input_tokens":9,"inputTokens":9},"usageMetadata":{"promptTokenCount":9},"eval_count":9'
  const inside = { usage: { prompt_tokens: 9, completion_tokens: 9, input_tokens: 9, inputTokens: 9, outputTokens: 9 } }
  const units = { topicPolicyUnits: 1, contentPolicyUnits: 2, wordPolicyUnits: 3, sensitiveInformationPolicyUnits: 4 }
  const traps: readonly (readonly [what: string, document: unknown])[] = [
    [
      'text',
      { choices: [{ message: { content: text } }], content: [{ text }], output: [{ content: [{ text }] }], text },
    ],
    ['text of a delta', { type: 'content_block_delta', choices: [{ delta: { content: text } }], delta: { text } }],
    [
      'arguments as text',
      { choices: [{ delta: { tool_calls: [{ function: { arguments: JSON.stringify(inside) } }] } }] },
    ],
    [
      'arguments as an object',
      {
        content: [{ type: 'tool_use', input: inside }],
        candidates: [{ content: { parts: [{ functionCall: { args: inside } }] } }],
      },
    ],
    ['input of a tool of Bedrock', { output: { message: { content: [{ toolUse: { input: inside } }] } } }],
    ['units of a guardrail', { usage: units, action: 'NONE', assessments: [{ invocationMetrics: { usage: units } }] }],
    [
      'units of a guardrail in a trace',
      { trace: { guardrail: { inputAssessment: { g: { invocationMetrics: { usage: units } } } } } },
    ],
    ['null and nothing', { usage: null, usageMetadata: {}, meta: {} }],
    ['a text in place of figures', { usage: 'none', usageMetadata: { promptTokenCount: '9' } }],
  ]
  const framings: readonly (readonly [framing: Framing, bytes: (document: unknown) => Buffer])[] = [
    ['json', (document) => Buffer.from(JSON.stringify(document))],
    ['sse', (document) => Buffer.from(`data: ${JSON.stringify(document)}\n\n`)],
    ['ndjson', (document) => Buffer.from(`${JSON.stringify(document)}\n`)],
    ['eventstream', (document) => Buffer.concat([converseFrame('contentBlockDelta', document), chunkFrame(document)])],
    ['messages', (document) => Buffer.from(JSON.stringify(document))],
  ]
  for (const [what, document] of traps) {
    it(`${what}: is never taken, in any framing of any shape`, () => {
      for (const [framing, bytes] of framings) {
        for (const shape of Object.keys(USAGE_SHAPES) as UsageShape[]) {
          for (const more of [document, { ...(document as object), long: 'x'.repeat(70_000) }]) {
            const reader = usageReaderFor(framing, new UsageCollector(shape))
            reader.write(bytes(more))
            reader.end()
            expect(reader.reading.reported, `${framing} of ${shape}`).to.equal(undefined)
          }
        }
      }
    })
  }
})
