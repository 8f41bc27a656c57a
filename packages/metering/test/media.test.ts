import { TokenCounter } from '@tallygate/metering'
import { expect } from 'chai'

/** Headers of images that have nothing but a size. */
const IMAGES = {
  png(width: number, height: number): Buffer {
    const bytes = Buffer.alloc(33)
    bytes.writeUInt32BE(0x89504e47, 0)
    bytes.write('IHDR', 12)
    bytes.writeUInt32BE(width, 16)
    bytes.writeUInt32BE(height, 20)
    return bytes
  },
  gif(width: number, height: number): Buffer {
    const bytes = Buffer.alloc(16)
    bytes.write('GIF89a')
    bytes.writeUInt16LE(width, 6)
    bytes.writeUInt16LE(height, 8)
    return bytes
  },
  jpeg(width: number, height: number): Buffer {
    const app = Buffer.concat([Buffer.from([0xff, 0xe0, 0x10, 0x02]), Buffer.alloc(0x1000)])
    const frame = Buffer.from([0xff, 0xc2, 0, 17, 8, height >> 8, height & 255, width >> 8, width & 255, 3])
    return Buffer.concat([Buffer.from([0xff, 0xd8]), app, frame, Buffer.alloc(16)])
  },
  webp(width: number, height: number): Buffer {
    const bytes = Buffer.alloc(40)
    bytes.write('RIFF')
    bytes.write('WEBPVP8X', 8)
    bytes.writeUIntLE(width - 1, 24, 3)
    bytes.writeUIntLE(height - 1, 27, 3)
    return bytes
  },
} as const

function wav(seconds: number): Buffer {
  const bytes = Buffer.alloc(44 + 16_000 * seconds)
  bytes.write('RIFF')
  bytes.write('WAVEfmt ', 8)
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt32LE(16_000, 28)
  bytes.write('data', 36)
  bytes.writeUInt32LE(16_000 * seconds, 40)
  return bytes
}

/** One frame's header of 128 kbit/s, and as many bytes as that makes. */
function mp3(seconds: number): Buffer {
  return Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x00]), Buffer.alloc(16_000 * seconds - 4)])
}

const url = (type: string, bytes: Buffer): string => `data:image/${type};base64,${bytes.toString('base64')}`
const chat = (image: unknown): unknown => ({
  messages: [{ role: 'user', content: [{ type: 'image_url', image_url: image }] }],
})

describe('media in a prompt', () => {
  const counter = new TokenCounter({ deadlineMs: 10_000 })
  after(() => counter.close())
  const count = (model: string, body: unknown): ReturnType<TokenCounter['count']> =>
    counter.count({ kind: 'prompt', model, body: Buffer.from(JSON.stringify(body)) })

  for (const [type, make] of Object.entries(IMAGES)) {
    it(`are counted by the size that the header of a ${type} states`, async () => {
      // 7 for the message; 85, and 170 for each tile of 512 pixels.
      expect(await count('gpt-4o', chat({ url: url(type, make(512, 512)) }))).to.include({
        tokens: 7 + 85 + 170,
        confidence: 'high',
      })
      expect(await count('gpt-4o', chat({ url: url(type, make(2_048, 4_096)) }))).to.include({
        tokens: 7 + 85 + 6 * 170,
      })
    })
  }

  const models: readonly (readonly [model: string, width: number, height: number, tokens: number])[] = [
    ['gpt-4o-mini', 1_024, 1_024, 7 + 2_833 + 4 * 5_667],
    ['o3', 1_024, 1_024, 6 + 75 + 4 * 150],
    ['gpt-5', 1_024, 1_024, 6 + 70 + 4 * 140],
    ['gpt-4.1-mini', 1_024, 1_024, 7 + Math.ceil(1_024 * 1.62)],
    ['gpt-4.1-mini', 1_800, 2_400, 7 + Math.ceil(1_452 * 1.62)],
    ['gpt-5-nano', 32, 32, 6 + Math.ceil(2.46)],
  ]
  for (const [model, width, height, tokens] of models) {
    it(`are ${tokens} tokens for ${model}, of ${width} x ${height} pixels`, async () => {
      expect(await count(model, chat({ url: url('png', IMAGES.png(width, height)) }))).to.include({ tokens })
    })
  }

  it('are the least where the request wants little detail', async () => {
    expect(await count('gpt-4o', chat({ url: 'https://example.com/a', detail: 'low' }))).to.include({
      tokens: 7 + 85,
      confidence: 'high',
    })
  })

  it('are guessed, and said to be, where nobody tells their size', async () => {
    expect(await count('gpt-4o', chat({ url: 'https://example.com/a' }))).to.include({
      tokens: 7 + 85 + 4 * 170,
      confidence: 'low',
    })
    expect(await count('gpt-4o', chat({ url: 'data:image/png;base64,AAAA' }))).to.include({ confidence: 'low' })
  })

  it('are counted for Claude and Gemini where they stand in their requests', async () => {
    const data = IMAGES.png(750, 750).toString('base64')
    const empty = await count('claude-sonnet-4-5', { messages: [{ role: 'user', content: [] }] })
    const source = { type: 'base64', media_type: 'image/png', data }
    const shown = await count('claude-sonnet-4-5', {
      messages: [{ role: 'user', content: [{ type: 'image', source }] }],
    })
    expect(shown.tokens - empty.tokens).to.equal(750)
    const none = await count('gemini-2.5-flash', { contents: [{ parts: [] }] })
    const inline = { inlineData: { mimeType: 'image/png', data } }
    expect((await count('gemini-2.5-flash', { contents: [{ parts: [inline] }] })).tokens - none.tokens).to.equal(258)
  })

  for (const [format, make] of [
    ['wav', wav],
    ['mp3', mp3],
  ] as const) {
    it(`are counted by the seconds of a ${format}`, async () => {
      const audio = { type: 'input_audio', input_audio: { data: make(30).toString('base64'), format } }
      const { tokens, confidence } = await count('gpt-4o-audio-preview', {
        messages: [{ role: 'user', content: [audio] }],
      })
      expect(tokens).to.be.closeTo(7 + 300, 1)
      expect(confidence).to.equal('high')
    })
  }

  it('are never read beyond their bytes, whatever they say of themselves', async () => {
    for (const make of [...Object.values(IMAGES).map((each) => each(65_535, 65_535)), wav(1), mp3(1)]) {
      for (let length = 0; length < Math.min(make.length, 80); length += 1) {
        const cut = make.subarray(0, length).toString('base64')
        const { tokens } = await count('gpt-4o', chat({ url: `data:image/png;base64,${cut}` }))
        expect(tokens).to.be.within(7, 10_000)
      }
    }
  })
})
