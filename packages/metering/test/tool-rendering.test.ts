import { renderTools } from '@tallygate/metering'
import { expect } from 'chai'

const tool = (
  parameters: Record<string, unknown> | undefined,
  description = '',
): Parameters<typeof renderTools>[0][0] => ({
  name: 'f',
  description,
  parameters,
  format: '',
})
const inNamespace = (...lines: readonly string[]): string =>
  ['namespace functions {', '', ...lines, '', '} // namespace functions'].join('\n')

describe('renderTools', () => {
  const table: readonly (readonly [
    what: string,
    parameters: Record<string, unknown> | undefined,
    ...lines: string[],
  ])[] = [
    ['a function without parameters', undefined, 'type f = () => any;'],
    ['one with none', { type: 'object', properties: {} }, 'type f = () => any;'],
    [
      'members without comments on one line',
      { properties: { a: { type: 'integer' }, b: { type: 'array', items: { type: 'string' } } }, required: ['a'] },
      'type f = (_: { a: number, b?: string[] }) => any;',
    ],
    [
      'titles, descriptions and bounds as comments',
      {
        properties: {
          a: { title: 'A', description: ' first\n  second ', minimum: 1, type: 'integer' },
          b: { type: 'null' },
        },
        required: ['a', 'b'],
      },
      'type f = (_: {',
      '// A',
      '// first',
      '// second',
      '// minimum: 1.0',
      'a: number,',
      'b: null,',
      '}) => any;',
    ],
    [
      'defaults behind the member',
      { properties: { a: { type: 'boolean', default: false } } },
      'type f = (_: {',
      'a?: boolean, // default: false',
      '}) => any;',
    ],
    [
      'choices and unions',
      {
        properties: {
          a: { enum: ['x', 'y'] },
          b: { anyOf: [{ type: 'string' }, { type: 'null' }] },
          c: { type: ['number', 'null'] },
        },
      },
      'type f = (_: { a?: "x" | "y", b?: string | null, c?: number | null }) => any;',
    ],
    [
      'references, put in',
      {
        properties: { a: { $ref: '#/$defs/A' } },
        required: ['a'],
        $defs: { A: { type: 'object', properties: { b: { type: 'string' } } } },
      },
      'type f = (_: { a: { b?: string } }) => any;',
    ],
    [
      'an object within one that has comments',
      { properties: { a: { description: 'd', type: 'object', properties: { b: { type: 'string' } } } } },
      'type f = (_: {',
      '// d',
      'a?: { b?: string },',
      '}) => any;',
    ],
    [
      'the title of all behind the name',
      { title: 'T', properties: { a: { type: 'string' } } },
      'type f = (_: // T',
      '{ a?: string }) => any;',
    ],
    [
      'nothing of what it does not know',
      { properties: { a: {}, b: { $ref: '#/none' } } },
      'type f = (_: { a?: any, b?: any }) => any;',
    ],
  ]
  for (const [what, parameters, ...lines] of table) {
    it(`writes ${what}`, () => {
      expect(renderTools([tool(parameters)])).to.equal(inNamespace(...lines))
    })
  }

  it('writes the description above each function, without the spaces at the ends of its lines', () => {
    const two = [tool(undefined, 'Does.\n\n  More. '), tool(undefined)]
    const lines = ['// Does.', '//', '// More.', 'type f = () => any;', '', 'type f = () => any;']
    expect(renderTools(two)).to.equal(inNamespace(...lines))
  })

  it('writes members on lines of their own for the first gpt-4', () => {
    const text = renderTools([tool({ properties: { a: { type: 'string' } } })], false)
    expect(text).to.equal(inNamespace('type f = (_: {', 'a?: string,', '}) => any;'))
  })

  it('ends in bounded time and memory where schemas refer to each other', () => {
    const refs = (to: string): unknown => ({ anyOf: Array.from({ length: 100 }, () => ({ $ref: `#/$defs/${to}` })) })
    const circles = {
      properties: { a: { $ref: '#/$defs/A' } },
      $defs: { A: refs('B'), B: refs('A'), C: { $ref: '#/$defs/C' } },
    }
    const members = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`m${at}`, { $ref: '#/$defs/A' }]))
    const wide = { properties: members, $defs: { A: { type: 'object', properties: members } } }
    for (const parameters of [circles, wide]) expect(renderTools([tool(parameters)]).length).to.be.below(64_000_000)
  })

  it('throws nothing, whatever stands where something else belongs', () => {
    for (const wrong of [null, 1, 'x', [], {}, [null], true]) {
      for (const name of [
        'properties',
        'required',
        'title',
        'enum',
        'anyOf',
        'items',
        'type',
        'allOf',
        '$ref',
        'default',
      ])
        renderTools([
          tool({ properties: { a: { [name]: wrong, type: 'object' }, b: { [name]: wrong } }, [name]: wrong }),
        ])
    }
  })
})
