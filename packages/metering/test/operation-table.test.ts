import { OPERATIONS, OperationTable, PROVIDERS, UsageCollector, type Provider } from '@tallygate/metering'
import { expect } from 'chai'
import { documentsIn, json, sse, TRAP } from './answer-bytes.ts'

/** A provider that nobody has heard of: this row, and the answers below, are all that it takes to serve it. */
const DREAMS: Provider = {
  id: 'dreams',
  alias: ['dreams-inc'],
  hosts: ['api.dreams.example'],
  serves: ['openai-chat', 'openai-embeddings'],
  own: [{ path: /\/v3\/dream$/i, operation: 'anthropic-messages' }],
  unmetered: [{ method: 'POST', path: /\/v3\/nightmares$/i, what: 'nightmare' }],
  isAlwaysStated: true,
}
const USAGE = { prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 }
const READ = { input: 5, output: 6, total: 11 }
const ANSWERS = [
  {
    path: '/v1/chat/completions',
    operation: 'openai-chat',
    ...json({ choices: [{ message: { content: TRAP } }], usage: USAGE }),
    usage: READ,
  },
  {
    path: '/v1/chat/completions',
    operation: 'openai-chat',
    ...sse({ choices: [{ delta: { content: TRAP } }] }, { choices: [], usage: USAGE }, '[DONE]'),
    usage: READ,
  },
  {
    path: '/v1/embeddings',
    operation: 'openai-embeddings',
    ...json({ usage: { total_tokens: 4 } }),
    usage: { input: 4, output: 0, total: 4 },
  },
  {
    path: '/v3/dream',
    operation: 'anthropic-messages',
    ...json({ content: [TRAP], usage: { input_tokens: 2, output_tokens: 3 } }),
    usage: { input: 2, output: 3, total: 5, cacheRead: 0, cacheWrite: 0 },
  },
]

describe('OperationTable', () => {
  const table = new OperationTable(OPERATIONS, [...PROVIDERS, DREAMS])

  for (const { path, operation, usage, ...answer } of ANSWERS) {
    it(`serves ${path} of a provider that was added as a row, ${answer.framing}`, () => {
      for (const name of ['dreams', 'dreams-inc', 'api.dreams.example', 'eu.api.dreams.example:443']) {
        const { adapter } = table.match('POST', path, name)!
        expect([adapter.id, adapter.provider, adapter.injects]).to.deep.equal([operation, 'dreams', undefined])
        const collector = new UsageCollector(adapter.usage)
        for (const document of documentsIn(answer)) collector.absorb(document)
        expect(JSON.parse(JSON.stringify(collector.reading.reported))).to.deep.equal(usage)
      }
    })
  }

  it('has its routes in the manifest, each with its proof', () => {
    const rows = table.coverage.filter(({ provider }) => provider === 'dreams')
    expect(rows.map(({ kind }) => kind)).to.deep.equal(['metered', 'metered', 'metered', 'unmetered'])
    for (const row of rows) {
      if (row.kind === 'metered') expect(ANSWERS.some(({ path }) => row.path.test(path))).to.equal(true)
    }
    expect(table.coverageOf('POST', '/v3/nightmares', 'dreams')).to.deep.include({ kind: 'unmetered' })
    expect(table.coverageOf('POST', '/v3/nightmares')).to.deep.include({ kind: 'unmetered' })
    expect(table.coverageOf('POST', '/v3/nightmares', 'openai')).to.equal(undefined)
  })

  it('takes a path that only this provider serves for its own, but with providers that are known and do not', () => {
    expect(table.match('POST', '/v3/dream')?.adapter.id).to.equal('anthropic-messages')
    expect(table.match('POST', '/v3/dream', 'llm.example')?.adapter.id).to.equal('anthropic-messages')
    expect(table.match('POST', '/v3/dream', 'openai')).to.equal(undefined)
  })

  it('serves an operation that was added as a row', () => {
    const [chat] = OPERATIONS
    const added = { ...chat!, id: 'dream', ends: ['dream'], route: /\/v3\/dream$/i, provider: 'dreams' }
    const more = new OperationTable([...OPERATIONS, added], PROVIDERS)
    expect(more.match('POST', '/gate/v3/Dream/'.slice(0, -1))?.adapter).to.equal(added)
  })

  it('is not made where a provider serves what is not there', () => {
    expect(() => new OperationTable([], [DREAMS])).to.throw('provider dreams: there is no operation openai-chat')
  })

  it('finds every operation by its own ends, and each id once', () => {
    expect(new Set(OPERATIONS.map(({ id }) => id)).size).to.equal(OPERATIONS.length)
    expect(new Set(PROVIDERS.flatMap(({ id, alias = [] }) => [id, ...alias])).size).to.equal(
      PROVIDERS.reduce((sum, { alias = [] }) => sum + 1 + alias.length, 0),
    )
  })
})
