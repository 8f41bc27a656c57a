import { isFormType, matchAdapter, parseFormBody, readRequestFacts } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const TYPE = 'multipart/form-data; boundary=b0undary'

/** Fields, and files whose names end in `.file`. */
function form(...parts: readonly (readonly [name: string, value: string])[]): Buffer {
  const written = parts.map(([name, value]) => {
    const file = name.endsWith('.file') ? `; filename="${name}"\r\nContent-Type: audio/wav` : ''
    return `--b0undary\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`
  })
  return Buffer.from(`${written.join('')}--b0undary--\r\n`)
}

describe('parseFormBody', () => {
  it('reads short fields, wherever files stand', () => {
    const file = ['a.file', 'RIFF\r\n--b0undar\r\nname="model"\r\n\r\nanother'] as const
    const fields = [
      ['model', 'whisper-1'],
      ['n', '2'],
      ['stream', 'true'],
      ['prompt', 'é🙂'],
    ] as const
    for (const parts of [
      [...fields, file],
      [file, ...fields],
      [...fields.slice(0, 2), file, ...fields.slice(2)],
    ])
      expect(parseFormBody(form(...parts), TYPE)).to.deep.equal({
        ok: true,
        value: { model: 'whisper-1', n: 2, stream: true, prompt: 'é🙂' },
      })
  })

  it('gives the facts of a request as JSON would', () => {
    const parsed = parseFormBody(form(['image.file', 'PNG'], ['n', '3'], ['model', 'gpt-image-1']), TYPE)
    if (!parsed.ok) throw new Error(parsed.fault)
    expect(readRequestFacts(matchAdapter('POST', '/v1/images/edits')!, parsed.value)).to.deep.equal({
      model: 'gpt-image-1',
      stream: false,
      outputCeiling: undefined,
      images: 3,
    })
  })

  it('takes no long field for one that matters', () => {
    const parsed = parseFormBody(form(['prompt', 'x'.repeat(5_000)], ['model', 'm']), TYPE)
    expect(parsed).to.deep.equal({ ok: true, value: { prompt: undefined, model: 'm' } })
  })

  it('reads a boundary in quotes', () => {
    expect(parseFormBody(form(['model', 'm']), 'Multipart/Form-Data; charset=x; boundary="b0undary"').ok).to.equal(true)
  })

  it('keeps a field that is called like what all objects have', () => {
    const parsed = parseFormBody(form(['__proto__', 'x'], ['model', 'm']), TYPE)
    expect(parsed.ok && Object.keys(parsed.value)).to.deep.equal(['__proto__', 'model'])
  })

  const faults: readonly (readonly [what: string, body: Buffer, type: string, fault: string])[] = [
    ['two fields of one name', form(['model', 'a'], ['model', 'b']), TYPE, 'duplicate-key'],
    ['two long fields of one name', form(['model', 'a'], ['model', 'b'.repeat(900)]), TYPE, 'duplicate-key'],
    ['no boundary', form(['model', 'a']), 'multipart/form-data', 'not-a-form'],
    ['another boundary', form(['model', 'a']), 'multipart/form-data; boundary=c', 'not-a-form'],
    ['no end', form(['model', 'a']).subarray(0, -20), TYPE, 'not-a-form'],
    ['nothing', Buffer.alloc(0), TYPE, 'not-a-form'],
    ['too many parts', form(...Array.from({ length: 200 }, (_, at) => [`f${at}`, ''] as const)), TYPE, 'not-a-form'],
  ]
  for (const [what, body, type, fault] of faults) {
    it(`refuses ${what}`, () => {
      expect(parseFormBody(body, type)).to.deep.equal({ ok: false, fault })
    })
  }

  it('lists of one name are no fault', () => {
    expect(parseFormBody(form(['image[]', 'a'], ['image[]', 'b']), TYPE).ok).to.equal(true)
  })

  it('throws nothing, whatever comes', () => {
    const pieces = fc.constantFrom(
      '--b0undary',
      '\r\n',
      '--',
      'name="model"',
      'Content-Disposition: form-data;',
      '\r\n\r\n',
      'x',
      '"',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 40 }), (parts) => {
        expect(parseFormBody(Buffer.from(parts.join('')), TYPE)).to.have.property('ok')
      }),
      { numRuns: runs(1_000) },
    )
  })
})

describe('isFormType', () => {
  it('knows a form by its media type alone', () => {
    expect(isFormType(TYPE)).to.equal(true)
    expect(isFormType('multipart/form-database')).to.equal(false)
    expect(isFormType('application/json')).to.equal(false)
  })
})
