import { randomFillSync } from 'node:crypto'

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const RANDOM_BYTES_PER_ID = 10

/** Random bytes for many ids: asking for a few at a time costs more than the ids. */
const pool = Buffer.alloc(RANDOM_BYTES_PER_ID * 256)
let used = pool.length
let lastMs = 0
let lastTime = ''

/** An id for an attempt: a UUID of version 7 (RFC 9562), so that ids sort by time and ledgers append at their end. */
export function attemptId(nowMs: number = Date.now()): string {
  if (nowMs !== lastMs) {
    const time = nowMs.toString(16).padStart(12, '0')
    lastTime = `${time.slice(0, 8)}-${time.slice(8)}-7`
    lastMs = nowMs
  }
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const at = used
  used += RANDOM_BYTES_PER_ID
  const byte = (index: number): string => HEX[pool[at + index]!]!
  const variant = HEX[(pool[at + 2]! & 0x3f) | 0x80]!
  const tail = byte(4) + byte(5) + byte(6) + byte(7) + byte(8) + byte(9)
  return `${lastTime}${byte(0)}${byte(1)[0]}-${variant}${byte(3)}-${tail}`
}
