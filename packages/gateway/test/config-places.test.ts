import { ConfigError, parseConfig } from '@tallygate/gateway'
import { expect } from 'chai'
import { isCollection, isMap, parseDocument, type Document } from 'yaml'
import { WHOLE_QUOTA } from './whole-quota.ts'

type Path = readonly (string | number)[]

/** Where every value stands that has none below it. */
function leaves(node: unknown, path: Path = []): Path[] {
  if (!isCollection(node)) return [path]
  return isMap(node)
    ? node.items.flatMap(({ key, value }) => leaves(value, [...path, String(key)]))
    : node.items.flatMap((value, index) => leaves(value, [...path, index]))
}

/** Line of a value in the text that a document is written as. */
function lineOf(text: string, path: Path): number {
  const node = parseDocument(text).getIn(path, true) as { range: [number, number, number] }
  return text.slice(0, node.range[0]).split('\n').length
}

describe('the places of mistakes', () => {
  it('has no mistake to begin with', () => {
    expect(() => parseConfig(WHOLE_QUOTA, 'quota.yaml', {})).to.not.throw()
  })

  for (const path of leaves(parseDocument(WHOLE_QUOTA).contents)) {
    it(`tells that of ${path.join('.')}`, () => {
      const document: Document = parseDocument(WHOLE_QUOTA)
      document.setIn(path, document.createNode({ nonsense: [true] }, { flow: true }))
      const text = document.toString({ lineWidth: 0 })
      let mistakes: ConfigError['mistakes'] = []
      try {
        parseConfig(text, 'quota.yaml', {})
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        mistakes = error.mistakes
      }
      const key = path.join('.')
      const own = mistakes.filter((mistake) => mistake.key === key || mistake.key.startsWith(`${key}.`))
      const said = mistakes.map((mistake) => `${mistake.line}: ${mistake.key}`).join('; ')
      expect(own, said).to.have.length.above(0)
      expect(own[0]!.line).to.equal(lineOf(text, path))
    })
  }
})
