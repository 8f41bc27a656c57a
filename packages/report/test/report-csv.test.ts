import { expect } from 'chai'
import { entry, startReportApp, type ReportApp } from './report-app.ts'

describe('a report as CSV', () => {
  let app: ReportApp
  before(async () => {
    app = await startReportApp({ authorize: () => ({ all: true }) })
  })
  after(() => app.close())

  const FIGURES =
    'calls,estimated,unknown,failed,aborted,overage,inputTokens,outputTokens,totalTokens,cacheReadTokens,cacheWriteTokens,reasoningTokens,priced,cost,credits,seconds,images,searches'

  it('is a header line and a line for each row, of one type and never cached', async () => {
    await app.ledger.append([entry()])
    const { headers, text } = await app.get('/usage?by=key&format=csv')
    expect(text).to.equal(`key,${FIGURES}\r\nalice,1,0,0,0,0,0,10,5,15,0,0,0,0,0.00,0,0,0,0\r\n`)
    expect(headers.get('content-type')).to.equal('text/csv; charset=utf-8')
    expect(headers.get('content-disposition')).to.equal('attachment; filename="usage.csv"')
    expect(headers.get('cache-control')).to.equal('no-store')
    expect(headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/)
  })

  it('is the header line alone where there is nothing', async () => {
    expect((await app.get('/usage?by=day&month=2024-02&format=csv')).text).to.equal(`day,${FIGURES}\r\n`)
    const calls = (await app.get('/usage/calls?month=2024-02&format=csv')).text
    expect(calls).to.match(/^at,id,callId,[^\r\n]*providerRequestId\r\n$/)
  })

  it('is asked for by the Accept header as well, and ?format= goes before it', async () => {
    const type = async (path: string): Promise<string | null> =>
      (await app.get(path, { accept: 'text/csv' })).headers.get('content-type')
    expect(await type('/usage')).to.include('csv')
    expect(await type('/usage?format=json')).to.include('json')
  })

  const CELLS: readonly [model: string, cell: string][] = [
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['=HYPERLINK("http://x","y")', '"\'=HYPERLINK(""http://x"",""y"")"'],
    ['a,b', '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ['two\nlines', '"two\nlines"'],
    ['größe', 'größe'],
    ['gpt-4o=', 'gpt-4o='],
  ]
  for (const [model, cell] of CELLS) {
    it(`writes a model named ${JSON.stringify(model)} as a text that no spreadsheet runs`, async () => {
      await app.ledger.append([entry({ model })])
      const { text } = await app.get(`/usage?by=model&format=csv&model=${encodeURIComponent(model)}`)
      expect(text.split('\r\n').slice(1).join('\r\n')).to.equal(`${cell},1,0,0,0,0,0,10,5,15,0,0,0,0,0.00,0,0,0,0\r\n`)
    })
  }

  it('says in a header where the next page is', async () => {
    const { headers } = await app.get('/usage?by=model&limit=1&format=csv')
    expect(headers.get('link')).to.equal('</usage/?by=model&limit=1&format=csv&offset=1>; rel="next"')
  })
})
