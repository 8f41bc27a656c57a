import { runs } from '@tallygate/testkit'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt } from './cuts.ts'
import { readUsage } from './read-usage.ts'

/** Recorded interactions of others' are no part of this project: a folder of them is named from outside. */
const folder = process.env['TALLYGATE_RECORDINGS']

const ADAPTERS: Readonly<Record<string, string | undefined>> = {
  'chat.completions': 'openai-chat',
  responses: 'openai-responses',
  messages: 'anthropic-messages',
  generateContent: 'gemini-generate',
}
const FRAMINGS: Readonly<Record<string, 'json' | 'sse' | undefined>> = {
  json: 'json',
  'json-array': 'json',
  sse: 'sse',
  empty: 'json',
}
const FIELDS = ['input', 'output', 'total', 'cacheRead', 'cacheWrite', 'reasoning'] as const

interface Recording {
  readonly id: string
  readonly provider: string
  readonly api: string
  readonly format: string
  readonly kind: string
  readonly responsePath: string
  readonly reported: readonly (readonly [event: unknown, path: string, value: unknown])[]
  readonly expected: Readonly<Record<string, unknown>> | null
}

if (folder !== undefined && folder !== '') {
  const lines = readFileSync(join(folder, 'core-open.jsonl'), 'utf8').split('\n').filter(Boolean)
  const recordings = lines.map((line): Recording => JSON.parse(line))
  const ours = recordings.flatMap((recording) => {
    const adapter = ADAPTERS[recording.api]
    const framing = FRAMINGS[recording.format]
    // Embeddings of Vertex are also filed under chat completions.
    if (recording.reported.some(([, path]) => path.startsWith('predictions'))) return []
    return adapter === undefined || framing === undefined ? [] : [{ recording, adapter, framing }]
  })

  describe('recorded interactions', () => {
    it('are there for every adapter, with and without usage', () => {
      for (const adapter of Object.values(ADAPTERS)) {
        const of = ours.filter((row) => row.adapter === adapter)
        expect(of.some(({ recording }) => recording.expected !== null)).to.equal(true)
        expect(of.some(({ recording }) => recording.expected === null)).to.equal(true)
      }
    })

    for (const { recording, adapter, framing } of ours) {
      const { id, provider, api, format, kind, responsePath, expected } = recording
      const expectRight = (pieces: readonly Buffer[]): void => {
        const { reported } = readUsage(adapter, framing, pieces)
        if (expected === null) return void expect(reported).to.equal(undefined)
        const stated = FIELDS.filter((field) => expected[field] !== undefined)
        expect(stated.map((field) => [field, reported?.[field]])).to.deep.equal(
          stated.map((field) => [field, expected[field]]),
        )
      }

      it(`${id}, ${kind} of ${provider} ${api} (${format}), ${expected === null ? 'states nothing' : 'states its usage'}`, () => {
        const body = readFileSync(join(folder, responsePath))
        expectRight([body])
        fc.assert(
          fc.property(anyCuts, (cuts) => expectRight(cutAt(body, cuts))),
          { numRuns: runs(20) },
        )
        if (body.length < 16_384) expectRight(Array.from(body, (byte) => Buffer.of(byte)))
      })
    }
  })
}
