import { LiveOutput, outputText, streamFramer, TokenCounter, writtenText, type UsageShape } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { get_encoding } from 'tiktoken'

const encoding = get_encoding('o200k_base')
const tokensOf = (text: string): number => encoding.encode_ordinary(text).length

const text = fc.oneof(
  fc.string({ maxLength: 20, unit: 'binary' }),
  fc.constantFrom('"content":"x"', '\\"text\\":\\"', '\n', '{"delta":"no"}', '海', '\u2028'),
)
const SHAPES: Readonly<Record<string, (text: string) => unknown>> = {
  'openai-chat': (content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }),
  'openai-responses': (delta) => ({ type: 'response.output_text.delta', output_index: 0, delta }),
  anthropic: (text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
  gemini: (text) => ({ candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0 }] }),
}
const event = (document: unknown, space?: number): string =>
  `data: ${JSON.stringify(document, null, space).replaceAll('\n', ' ')}\n\n`

describe('writtenText', () => {
  for (const [shape, documentOf] of Object.entries(SHAPES)) {
    it(`finds what ${shape} writes, as parsing each event does`, () => {
      fc.assert(
        fc.property(fc.array(text), fc.constantFrom(undefined, 1), (texts, space) => {
          const events = texts.map((each) => event(documentOf(each), space)).join('')
          const parsed = outputText(shape as UsageShape, 'sse', Buffer.from(events)).texts.join('')
          expect(writtenText(shape as UsageShape, events)).to.equal(parsed)
        }),
        { numRuns: runs(200) },
      )
    })
  }

  it('counts the arguments of tools, as text and as an object', () => {
    const call = { choices: [{ delta: { tool_calls: [{ index: 0, function: { name: 'f', arguments: '{"a":' } }] } }] }
    expect(writtenText('openai-chat', event(call))).to.equal('{"a":')
    const object = { candidates: [{ content: { parts: [{ functionCall: { name: 'f', args: { a: 1 } } }] } }] }
    expect(writtenText('gemini', event(object))).to.equal('f{"a":1}')
  })

  it('does not count what a later event repeats', () => {
    const done = { type: 'response.output_text.done', text: 'all of it' }
    expect(writtenText('openai-responses', event(done))).to.equal('')
  })

  it('takes no longer for hostile text than for any other', () => {
    for (const hostile of [
      '"'.repeat(100_000),
      '\\'.repeat(100_000),
      '"content":"'.repeat(20_000),
      'a'.repeat(1_000_000),
    ])
      expect(writtenText('openai-chat', event({ choices: [{ delta: { content: hostile } }] }))).to.equal(hostile)
    expect(writtenText('openai-chat', `"content":"${'\\a'.repeat(100_000)}`)).to.equal('')
  })
})

describe('LiveOutput', () => {
  const counter = new TokenCounter()
  after(() => counter.close())
  const output = (shape: UsageShape = 'openai-chat'): LiveOutput =>
    new LiveOutput({ framing: 'sse', counter, shape, model: 'gpt-4o' })
  const bytes = (document: unknown): Buffer => Buffer.from(event(document))

  it('knows that a stream has said why it ends, also from events that were only added up', () => {
    const live = output()
    const delta = (content: string, reason: string | null): Buffer =>
      bytes({ choices: [{ index: 0, delta: { content }, finish_reason: reason }] })
    live.add(delta(' river', null))
    live.sent(delta(' river', null))
    expect(live.hasEnded).to.equal(false)
    live.add(delta('', 'stop'))
    expect(live.hasEnded).to.equal(true)
    expect([...live.finished]).to.deep.equal([0])
  })

  it('is bounded by its bytes, then by its text, and counted when asked; no tokenizer is loaded before', async () => {
    const live = output()
    const words = Array.from({ length: 100 }, (_, n) => ` river ${n}`)
    for (const word of words) live.add(bytes(SHAPES['openai-chat']!(word)))
    const raw = live.bound
    expect(live.narrow()).to.equal(true)
    const narrowed = live.bound
    expect([raw > narrowed, narrowed]).to.deep.equal([true, Buffer.byteLength(words.join(''))])
    expect(counter.isLoaded).to.equal(false)
    // Up to the last place where it can be cut; then the rest.
    expect(await live.settle()).to.equal(true)
    const ahead = tokensOf(words.join('').slice(0, -' 99'.length))
    expect([live.counted, live.bound]).to.deep.equal([ahead, ahead + ' 99'.length])
    expect(await live.settle()).to.equal(true)
    expect([live.counted, live.bound]).to.deep.equal([tokensOf(words.join('')), tokensOf(words.join(''))])
    expect([live.narrow(), await live.settle()]).to.deep.equal([false, false])
  })

  it('goes by what the provider says in its latest event, where that covers everything', async () => {
    const live = output('gemini')
    live.add(bytes(SHAPES['gemini']!('a few words')))
    const usageMetadata = {
      promptTokenCount: 5,
      candidatesTokenCount: 3,
      thoughtsTokenCount: 400,
      totalTokenCount: 408,
    }
    live.add(bytes({ ...(SHAPES['gemini']!('and more') as object), usageMetadata }))
    await live.settle()
    expect([live.counted, live.bound]).to.deep.equal([403, 403])
  })

  it('knows the input that a stream states at its beginning', () => {
    const live = output('anthropic')
    const usage = { input_tokens: 5, cache_read_input_tokens: 90, output_tokens: 1 }
    live.sent(bytes({ type: 'message_start', message: { id: 'm', role: 'assistant', usage } }))
    expect(live.reportedInput).to.equal(95)
    expect(output().reportedInput).to.equal(undefined)
  })

  it('keeps the beginning and the latest events of a long stream, and no more', () => {
    const live = output()
    const events = Array.from({ length: 5_000 }, (_, n) => bytes(SHAPES['openai-chat']!(`word ${n}`)))
    for (const each of events) {
      live.add(each)
      live.sent(each)
    }
    expect(live.head.indexOf(events[0]!)).to.equal(0)
    expect(live.tail.lastIndexOf(events.at(-1)!)).to.equal(live.tail.length - events.at(-1)!.length)
    expect(live.head.length + live.tail.length).to.be.below(25_000)
  })

  for (const [shape, documentOf] of Object.entries(SHAPES)) {
    it(`finds in the events of ${shape} what looking at each for itself does, also where they are alike for long`, () => {
      const words = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(' river', ' and', '', ' 海') }, text)
      const more = fc.constantFrom(
        {},
        {},
        {},
        { text: 'more' },
        { pad: 'aB' },
        { finish_reason: 'stop' },
        { delta: ' 2' },
      )
      const ends = fc.constantFrom('', '', '', '', ': comment\n\n', 'data: [DONE]\n\n')
      const one = fc
        .tuple(words, more, ends)
        .map(([each, rest, end]) => event({ ...(documentOf(each) as object), ...rest }) + end)
      const alike = fc
        .tuple(one, fc.integer({ min: 1, max: 4 }))
        .map(([each, times]) => Array.from({ length: times }, () => each))
      // One of them again and again, so that many pieces begin and end alike, whatever is between.
      const stream = fc
        .tuple(one, fc.array(alike, { maxLength: 30 }))
        .map(([usual, all]) => all.flatMap((each) => [usual, ...each, usual]))
      fc.assert(
        fc.property(stream, fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }), (all, sizes) => {
          const live = output(shape as UsageShape)
          let found = ''
          for (let at = 0, index = 0; at < all.length; index += 1) {
            const batch = all.slice(at, (at += sizes[index % sizes.length]!))
            live.add(Buffer.from(batch.join('')))
            live.narrow()
            found += batch.map((each) => writtenText(shape as UsageShape, each)).join('')
            expect(live.bound).to.equal(Buffer.byteLength(found))
          }
        }),
        { numRuns: runs(200) },
      )
    })
  }

  it('is less than what was written by no more than a token for each time that it was counted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, fc.boolean()), { maxLength: 20 }), async (steps) => {
        const live = output()
        for (const [written, isSettled] of steps) {
          live.add(bytes(SHAPES['openai-chat']!(written)))
          if (isSettled) await live.settle()
        }
        const all = steps.map(([written]) => written).join('')
        expect(live.bound).to.be.at.least(tokensOf(all) - steps.length)
      }),
      { numRuns: runs(50) },
    )
  })
})

describe('streamFramer', () => {
  it('cuts an array into whole elements, wherever the network cut it', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        fc.string(),
        fc.constantFrom('}', '"]', '\\', '[{', ','),
        fc.integer(),
        fc.dictionary(fc.string(), tie('any'), { maxKeys: 3 }),
        fc.array(tie('any'), { maxLength: 3 }),
      ),
    })).any
    const element = fc.dictionary(fc.string(), value, { maxKeys: 3 })
    fc.assert(
      fc.property(fc.array(element, { maxLength: 6 }), fc.integer({ min: 1, max: 30 }), (elements, size) => {
        const whole = Buffer.from(JSON.stringify(elements, null, 1))
        const framer = streamFramer('array')
        const events: Buffer[] = []
        for (let at = 0; at < whole.length; at += size) {
          const { events: some } = framer.push(whole.subarray(at, at + size))
          if (some.length === 0) continue
          events.push(some)
          const sofar = Buffer.concat(events).toString()
          // Whatever came out so far is an array once it is closed, or is one already.
          JSON.parse(framer.isEnded === true ? sofar : `${sofar}]`)
        }
        expect(Buffer.concat([...events, framer.held]).equals(whole)).to.equal(true)
        expect(framer.isEnded).to.equal(true)
      }),
      { numRuns: runs(200) },
    )
  })

  it('hands on in pieces what is too long to hold', () => {
    const framer = streamFramer('array')
    expect(framer.push(Buffer.from(`[{"a":"${'x'.repeat(70_000)}`)).events.length).to.be.above(70_000)
    expect([framer.isInLongEvent, framer.held.length]).to.deep.equal([true, 0])
    expect(framer.push(Buffer.from('"},{"b"')).events.toString()).to.equal('"}')
    expect([framer.isInLongEvent, framer.held.toString()]).to.deep.equal([false, ',{"b"'])
  })
})
