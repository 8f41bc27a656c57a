import { runs } from '@tallygate/testkit'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { expect } from 'chai'
import fc from 'fast-check'
import { ContentDecoder } from '../src/content-decoder.ts'

async function decoded(coding: string, pieces: readonly Buffer[]): Promise<{ text: Buffer; decoder: ContentDecoder }> {
  const out: Buffer[] = []
  const decoder = ContentDecoder.for(coding, (bytes) => void out.push(bytes))!
  for (const piece of pieces) await decoder.write(piece)
  await decoder.end()
  return { text: Buffer.concat(out), decoder }
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const edges = [0, ...at.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b), bytes.length]
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge))
}

describe('ContentDecoder', () => {
  for (const [coding, compress] of [
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const) {
    it(`undoes ${coding}, however it is cut`, async () => {
      const share = fc.double({ min: 0, max: 1, noNaN: true })
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), fc.array(share, { maxLength: 5 }), async (bytes, at) => {
          const { text } = await decoded(coding, cut(compress(Buffer.from(bytes)), at))
          expect(text.equals(Buffer.from(bytes))).to.equal(true)
        }),
        { numRuns: runs(30) },
      )
    })
  }

  it('knows no other coding, nor several at once', () => {
    for (const coding of ['identity', 'compress', 'gzip, br', 'constructor', '']) {
      expect(ContentDecoder.for(coding, () => {})).to.equal(undefined)
    }
  })

  it('hands on what it could undo of an answer that is cut off or broken, and says so', async () => {
    const bytes = gzipSync(Buffer.from('abc'.repeat(50_000)))
    const cutOff = await decoded('gzip', [bytes.subarray(0, bytes.length - 20)])
    expect(cutOff.text.length).to.be.above(0)
    const broken = await decoded('gzip', [Buffer.from('this is not gzip'), bytes])
    expect([broken.text.length, broken.decoder.isBroken]).to.deep.equal([0, true])
  })

  it('gives up on an answer that unfolds without end', async () => {
    const bomb = gzipSync(Buffer.alloc(300 * 1_048_576))
    let seen = 0
    const decoder = ContentDecoder.for('gzip', (bytes) => (seen += bytes.length))!
    await decoder.write(bomb)
    await decoder.end()
    expect(decoder.isBroken).to.equal(true)
    expect(seen).to.be.at.most(256 * 1_048_576)
  })
})
