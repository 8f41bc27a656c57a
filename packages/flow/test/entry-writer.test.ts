import { MemoryLedger, MemoryOutbox, QuotaError, type Entry, type QuotaErrorCode } from '@tallygate/core'
import { Telemetry } from '@tallygate/telemetry'
import { testEntry } from '@tallygate/testkit'
import { expect } from 'chai'
import { EntryWriter } from '../src/entry-writer.ts'

/** A ledger that can be taken away. */
class AwayLedger extends MemoryLedger {
  isAway = false
  /** Ids that it will never take, and what it throws then. */
  bad: readonly string[] = []
  says: QuotaErrorCode = 'ERR_QUOTA_LEDGER_UNAVAILABLE'
  readonly appends: string[][] = []

  override async append(entries: readonly Entry[]): Promise<void> {
    if (this.isAway) throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'gone fishing')
    if (entries.some(({ id }) => this.bad.includes(id))) throw new QuotaError(this.says, 'a secret of the entry')
    this.appends.push(entries.map(({ id }) => id))
    return super.append(entries)
  }

  async ids(): Promise<string[]> {
    const found = await this.entries({ tenant: 't', fromMs: 0, toMs: 9 }, { limit: 1_000 })
    return found.map(({ id }) => id).toSorted()
  }
}

function opened(most?: number): { writer: EntryWriter; ledger: AwayLedger; outbox: MemoryOutbox; logged: string[] } {
  const ledger = new AwayLedger()
  const outbox = new MemoryOutbox(most === undefined ? {} : { most })
  const logged: string[] = []
  const log = (message: string, about: unknown): void => void logged.push(`${message} ${JSON.stringify(about)}`)
  const writer = new EntryWriter({
    ledger,
    outbox,
    telemetry: new Telemetry(),
    logger: { warn: log, error: log },
    appendWithinMs: 100,
  })
  return { writer, ledger, outbox, logged }
}

const ids = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `e${String(from + index).padStart(3, '0')}`)

describe('EntryWriter', () => {
  it('resolves when the entry is in the ledger', async () => {
    const { writer, ledger } = opened()
    await writer.write(testEntry('e1'))
    expect(await ledger.ids()).to.deep.equal(['e1'])
    expect(writer.pending).to.equal(0)
  })

  it('writes together what comes together, in order, and never too much at once', async () => {
    const { writer, ledger } = opened()
    await Promise.all(ids(250).map((id) => writer.write(testEntry(id))))
    expect(ledger.appends.flat()).to.deep.equal(ids(250))
    expect(ledger.appends.map(({ length }) => length)).to.deep.equal([100, 100, 50])
  })

  it('keeps entries in the outbox while the ledger is away, and brings them in when it is back', async () => {
    const { writer, ledger, outbox, logged } = opened()
    ledger.isAway = true
    await Promise.all(ids(5).map((id) => writer.write(testEntry(id))))
    expect([outbox.size, writer.pending, writer.isBlocked]).to.deep.equal([5, 5, false])
    expect(logged.join()).to.include('they wait in the outbox').and.include('gone fishing')
    ledger.isAway = false
    await writer.write(testEntry('later'))
    await writer.flush()
    expect(await ledger.ids()).to.deep.equal([...ids(5), 'later'])
    expect([outbox.size, writer.pending]).to.deep.equal([0, 0])
  })

  it('loses nothing when the outbox is full too, and says that no call should begin', async () => {
    const { writer, ledger, outbox } = opened(3)
    ledger.isAway = true
    for (const id of ids(5)) await writer.write(testEntry(id))
    expect([outbox.size, writer.pending, writer.isBlocked]).to.deep.equal([3, 5, true])
    await writer.flush()
    expect(writer.isBlocked).to.equal(true)
    ledger.isAway = false
    await writer.flush()
    expect(await ledger.ids()).to.deep.equal(ids(5))
    expect([writer.pending, writer.isBlocked]).to.deep.equal([0, false])
  })

  it('loses nothing when it is flushed from two sides, and the ledger fails in between', async () => {
    const { writer, ledger, outbox } = opened()
    ledger.isAway = true
    await Promise.all(ids(350).map((id) => writer.write(testEntry(id))))
    expect(outbox.size).to.equal(350)
    ledger.isAway = false
    let appends = 0
    const append = ledger.append.bind(ledger)
    ledger.append = async (entries) => {
      appends += 1
      await new Promise(setImmediate)
      if (appends === 2) throw new Error('once more')
      return append(entries)
    }
    await Promise.all([writer.flush(), writer.flush()])
    await Promise.all([writer.flush(), writer.flush()])
    expect(writer.pending).to.equal(0)
    expect(await ledger.ids()).to.deep.equal(ids(350))
  })

  it('takes a ledger for away that says nothing, and asks it no more until it has answered', async () => {
    const { writer, ledger, outbox } = opened(150)
    const append = ledger.append.bind(ledger)
    let asked = 0
    ledger.append = () => {
      asked += 1
      return new Promise(() => {})
    }
    await Promise.all(ids(200).map((id) => writer.write(testEntry(id))))
    expect([asked, outbox.size, writer.pending, writer.isBlocked]).to.deep.equal([1, 100, 200, true])
    ledger.append = append
    await writer.write(testEntry('later'))
    while (writer.pending > 0) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await ledger.ids()).to.have.length(201)
  })

  it('tries again by itself', async () => {
    const { writer, ledger } = opened()
    ledger.isAway = true
    await writer.write(testEntry('e1'))
    ledger.isAway = false
    const keepAlive = setInterval(() => {}, 50)
    while (writer.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20))
    clearInterval(keepAlive)
    expect(await ledger.ids()).to.deep.equal(['e1'])
  })

  it('brings in first what an earlier process has left in the outbox', async () => {
    const outbox = new MemoryOutbox()
    await outbox.put(ids(3).map((id) => testEntry(id)))
    const ledger = new AwayLedger()
    const writer = new EntryWriter({ ledger, outbox, telemetry: new Telemetry(), logger: { warn() {}, error() {} } })
    await writer.bringIn()
    expect([await ledger.ids(), writer.pending]).to.deep.equal([ids(3), 0])
  })

  it('says that something stays behind while the ledger is away', async () => {
    const { writer, ledger } = opened()
    await writer.bringIn()
    ledger.isAway = true
    await writer.write(testEntry('e1'))
    const failure: unknown = await writer.bringIn().catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_LEDGER_UNAVAILABLE')
    expect(failure).to.have.property('message', '1 entries wait in the outbox')
    ledger.isAway = false
    await writer.bringIn()
    expect(await ledger.ids()).to.deep.equal(['e1'])
  })

  it('sets aside at once what the ledger refuses, and nothing else', async () => {
    const { writer, ledger, outbox, logged } = opened()
    ledger.says = 'ERR_QUOTA_CONFIG'
    ledger.bad = ['e003', 'e077', 'e099', 'e130']
    await Promise.all(ids(150).map((id) => writer.write(testEntry(id))))
    expect(await ledger.ids()).to.deep.equal(ids(150).filter((id) => !ledger.bad.includes(id)))
    expect([outbox.size, writer.pending]).to.deep.equal([0, 0])
    expect(logged).to.deep.equal(
      ledger.bad.map(
        (id) => `the ledger refuses an entry: it is set aside {"id":"${id}","kind":"usage","code":"ERR_QUOTA_CONFIG"}`,
      ),
    )
  })

  it('finds what the ledger will never take also where that says it is away, and goes on', async () => {
    const { writer, ledger, outbox, logged } = opened()
    const aside: string[] = []
    Object.assign(outbox, { setAside: async ({ id }: Entry) => void aside.push(id) })
    ledger.bad = ['e000', 'e055']
    await Promise.all(ids(250).map((id) => writer.write(testEntry(id))))
    for (let round = 0; round < 9; round += 1) await writer.flush()
    expect(await ledger.ids()).to.deep.equal(ids(250).filter((id) => !ledger.bad.includes(id)))
    expect([aside, writer.pending, writer.isBlocked]).to.deep.equal([ledger.bad, 0, false])
    expect(logged.filter((line) => line.includes('set aside')).join()).not.to.include('secret')
    await writer.bringIn()
  })

  it('finds one that is alone, when the ledger has taken others', async () => {
    const { writer, ledger, outbox } = opened()
    await writer.write(testEntry('good'))
    ledger.bad = ['bad']
    await writer.write(testEntry('bad'))
    for (let round = 0; round < 7; round += 1) {
      await writer.flush()
      expect(outbox.size).to.equal(1)
    }
    await writer.flush()
    expect([writer.pending, await ledger.ids()]).to.deep.equal([0, ['good']])
  })

  it('takes no entry for one that the ledger will never take while the ledger is away, or comes and goes', async () => {
    const { writer, ledger } = opened()
    await writer.write(testEntry('good'))
    ledger.isAway = true
    await Promise.all(ids(60).map((id) => writer.write(testEntry(id))))
    for (let round = 0; round < 10; round += 1) await writer.flush()
    expect(writer.pending).to.equal(60)
    // It goes away again and again in the middle of it.
    const append = ledger.append.bind(ledger)
    let appends = 0
    ledger.append = async (entries) => {
      appends += 1
      ledger.isAway = entries.length > 1 || appends % 7 > 2
      return append(entries)
    }
    for (let round = 0; round < 40 && writer.pending > 0; round += 1) await writer.flush()
    ledger.append = append
    ledger.isAway = false
    await writer.flush()
    expect(await ledger.ids()).to.deep.equal([...ids(60), 'good'])
  })

  it('takes no entry for one that the ledger will never take where the ledger is gone when it is tried once more', async () => {
    const { writer, ledger } = opened()
    await writer.write(testEntry('good'))
    const append = ledger.append.bind(ledger)
    let probes = 0
    ledger.append = async (entries) => {
      if (entries[0]!.id === 'good') probes += 1
      // It is there before, and in between, and not after.
      if (entries[0]!.id !== 'good' || probes % 3 === 0) throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'gone')
    }
    await writer.write(testEntry('e1'))
    for (let round = 0; round < 10; round += 1) await writer.flush()
    expect([probes, writer.pending]).to.deep.equal([30, 1])
    ledger.append = append
    await writer.flush()
    expect(await ledger.ids()).to.deep.equal(['e1', 'good'])
  })

  it('logs once that the outbox takes nothing, with the cause, and once that there is a place again', async () => {
    const { writer, ledger, logged } = opened(2)
    const told = (): string[] => logged.splice(0).filter((line) => !line.startsWith('the ledger takes no entries'))
    for (let outage = 0; outage < 2; outage += 1) {
      ledger.isAway = true
      await writer.write(testEntry(`first${outage}`))
      await Promise.all(ids(2, outage * 10).map((id) => writer.write(testEntry(id))))
      // One finds the last place, while others have found none.
      for (const id of ids(6, outage * 10 + 2)) await writer.write(testEntry(id))
      expect(told()).to.deep.equal([
        'the outbox takes no entries: they stay in memory ' +
          '{"cause":"the outbox holds 2 entries: bring the ledger back, or allow more"}',
      ])
      ledger.isAway = false
      await writer.flush()
      expect(told()).to.deep.equal(['entries have a place again undefined'])
    }
  })

  it('writes an entry once, however often it is brought', async () => {
    const { writer, ledger } = opened()
    await Promise.all([writer.write(testEntry('e1')), writer.write(testEntry('e1'))])
    expect(await ledger.ids()).to.deep.equal(['e1'])
  })
})
