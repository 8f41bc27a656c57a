import { crc32 } from 'node:zlib'

/** A header of a frame that is a text. */
function headerOf(name: string, value: string): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.of(7), length, bytes])
}

/** A frame of an AWS event stream, with right checksums. */
export function awsFrame(headers: Readonly<Record<string, string>>, payload: Buffer, more = Buffer.alloc(0)): Buffer {
  const head = Buffer.concat([...Object.entries(headers).map(([name, value]) => headerOf(name, value)), more])
  const total = 16 + head.length + payload.length
  const frame = Buffer.alloc(total)
  frame.writeUInt32BE(total, 0)
  frame.writeUInt32BE(head.length, 4)
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8)
  head.copy(frame, 12)
  payload.copy(frame, 12 + head.length)
  frame.writeUInt32BE(crc32(frame.subarray(0, total - 4)), total - 4)
  return frame
}

/** An event of ConverseStream. */
export function converseFrame(event: string, document: unknown): Buffer {
  return awsFrame(
    { ':event-type': event, ':content-type': 'application/json', ':message-type': 'event' },
    Buffer.from(JSON.stringify(document)),
  )
}

/** An event of InvokeModelWithResponseStream: what the model itself sends, wrapped. */
export function chunkFrame(document: unknown): Buffer {
  return converseFrame('chunk', { bytes: Buffer.from(JSON.stringify(document)).toString('base64'), p: 'abc' })
}
