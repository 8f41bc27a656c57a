const FINAL = 0x80
const MASKED = 0x80
const OPCODES = { text: 0x1, close: 0x8 } as const
const MOST_CONTROL_BYTES = 125

/** A whole frame of the WebSocket protocol (RFC 6455), as a server sends it. */
export function serverFrame(kind: 'text' | 'close', payload: Buffer): Buffer {
  return Buffer.concat([frameHead(kind, payload.length, 0), payload])
}

/**
 * A whole frame, as a client sends it.
 *
 * @param mask Four bytes that nobody can foresee.
 */
export function clientFrame(kind: 'text' | 'close', payload: Buffer, mask: Buffer): Buffer {
  const masked = Buffer.from(payload)
  for (let index = 0; index < masked.length; index += 1) masked[index] = masked[index]! ^ mask[index & 3]!
  return Buffer.concat([frameHead(kind, payload.length, MASKED), mask, masked])
}

/** Payload of a close frame: its code, and a reason of which as much is said as fits. */
export function closePayload(code: number, reason: string): Buffer {
  let said = Buffer.from(reason)
  if (said.length > MOST_CONTROL_BYTES - 2) {
    let end = MOST_CONTROL_BYTES - 2
    while ((said[end]! & 0xc0) === 0x80) end -= 1
    said = said.subarray(0, end)
  }
  const payload = Buffer.alloc(2 + said.length)
  payload.writeUInt16BE(code, 0)
  said.copy(payload, 2)
  return payload
}

function frameHead(kind: 'text' | 'close', length: number, masked: number): Buffer {
  const first = FINAL | OPCODES[kind]
  if (length < 126) return Buffer.of(first, masked | length)
  if (length < 65_536) return Buffer.of(first, masked | 126, length >> 8, length & 0xff)
  const head = Buffer.alloc(10)
  head[0] = first
  head[1] = masked | 127
  head.writeBigUInt64BE(BigInt(length), 2)
  return head
}
