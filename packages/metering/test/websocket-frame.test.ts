import { clientFrame, closePayload, serverFrame, WebSocketReader } from '@tallygate/metering'
import { ClientFrames } from '@tallygate/testkit'
import { expect } from 'chai'

describe('serverFrame and clientFrame', () => {
  for (const size of [0, 1, 125, 126, 65_535, 65_536, 100_000]) {
    it(`write frames of ${size} bytes that are read again`, () => {
      const payload = Buffer.alloc(size, 'é')
      const messages: Buffer[] = []
      const reader = new WebSocketReader({ message: (each) => messages.push(each), piece: () => {} })
      reader.write(serverFrame('text', payload))
      expect(messages[0]!.equals(payload)).to.equal(true)
      const [frame] = new ClientFrames().push(clientFrame('text', payload, Buffer.of(9, 8, 7, 6)))
      expect(frame!.opcode).to.equal(0x1)
      expect(frame!.payload.equals(payload)).to.equal(true)
    })
  }
})

describe('closePayload', () => {
  it('says a code and as much of a reason as fits, and never half a character', () => {
    expect(closePayload(1008, 'no').equals(Buffer.of(0x03, 0xf0, 0x6e, 0x6f))).to.equal(true)
    for (const letter of ['a', 'é', '世', '🙂']) {
      const said = closePayload(1008, letter.repeat(200))
      expect(said.length).to.be.within(120, 125)
      expect(said.toString('utf8', 2)).to.match(new RegExp(`^(?:${letter})+$`, 'u'))
    }
  })
})
