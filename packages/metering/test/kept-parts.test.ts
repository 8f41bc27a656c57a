import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { WordCounter } from '../src/counting/word-counter.ts'
import { TextPlace } from '../src/live/text-place.ts'

const TEXTS = 40
const TEXT_BYTES = 500_000

/** Bytes of the heap that are still there when a function has been called for each of many texts. */
function keptBy(use: (index: number) => void): number {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  use(TEXTS)
  gc()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < TEXTS; index += 1) use(index)
  gc()
  return process.memoryUsage().heapUsed - before
}

describe('what is kept of a text', () => {
  it('is words alone, where words that are one token are known again', () => {
    const counter = new WordCounter({ encode_ordinary: () => new Uint32Array(1) })
    const kept = keptBy((index) => {
      const word = 'internationaly'.replace('y', String.fromCharCode(97 + (index % 26), 97 + Math.floor(index / 26)))
      const filling = Buffer.alloc(TEXT_BYTES, '-').toString('latin1')
      expect(counter.count(`${filling} ${word}`)).to.equal(2)
    })
    expect(kept).to.be.below(5_000_000)
  })

  it('is one event, where others are known by what stands between their texts', () => {
    const places: TextPlace[] = []
    const kept = keptBy(() => {
      const event = 'data: {"choices":[{"index":0,"delta":{"content":"river"},"finish_reason":null}]}\n\n'
      const events = Buffer.from(event.repeat(TEXT_BYTES / event.length)).toString('latin1')
      const from = events.lastIndexOf('river')
      const place = new TextPlace()
      place.learn(events, from, from + 'river'.length, 0)
      places.push(place)
      expect(place.textsIn(event.repeat(2))).to.equal('riverriver')
    })
    expect(kept).to.be.below(5_000_000)
  })
})
