import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** What a server agrees to a handshake with. Source: RFC 6455 section 4.2.2. */
export function acceptWebSocket(req: IncomingMessage, socket: Socket, fields: Readonly<Record<string, string>>): void {
  const accept = createHash('sha1')
    .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  const all = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Accept': accept, ...fields }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
}

/** A whole frame that is final and not masked. `0x1`: text, `0x2`: binary, `0x8`: close, `0x9`: ping. */
export function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const size = length < 126 ? Buffer.of(length) : Buffer.alloc(length < 65_536 ? 3 : 9)
  if (length >= 65_536) {
    size[0] = 127
    size.writeUIntBE(length, 3, 6)
  } else if (length >= 126) {
    size[0] = 126
    size.writeUInt16BE(length, 1)
  }
  return Buffer.concat([Buffer.of(0x80 | opcode), size, payload])
}

/** What a client has sent in one frame. */
export interface ClientFrame {
  readonly opcode: number
  readonly payload: Buffer
}

/** Takes the frames of a client apart, which must be masked. Keeps all that has not become a frame. */
export class ClientFrames {
  #rest = Buffer.alloc(0)

  push(bytes: Buffer): ClientFrame[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const frames: ClientFrame[] = []
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame)
    return frames
  }

  #next(): ClientFrame | undefined {
    const bytes = this.#rest
    if (bytes.length < 2) return undefined
    if ((bytes[1]! & 0x80) === 0) throw new Error('a client has sent a frame without a mask')
    const short = bytes[1]! & 0x7f
    const at = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < at + 4) return undefined
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? bytes.readUIntBE(4, 6) : short
    if (bytes.length < at + 4 + length) return undefined
    const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length))
    for (let index = 0; index < length; index += 1) payload[index]! ^= bytes[at + (index & 3)]!
    this.#rest = bytes.subarray(at + 4 + length)
    return { opcode: bytes[0]! & 0x0f, payload }
  }
}
