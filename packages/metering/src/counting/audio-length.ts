/** Bit rates of MPEG audio layer III, in kbit/s, by index: MPEG 1, then MPEG 2 and 2.5. Source: ISO/IEC 11172-3, 13818-3. */
const MPEG1_KBITS = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0] as const
const MPEG2_KBITS = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0] as const
/** An MP3 frame is looked for so far behind the tags. */
const MOST_SEARCHED = 4_096

/**
 * Length of a WAV or MP3 recording in seconds, from its header and its size; absent where the header says nothing. That
 * of an MP3 goes by its first frame's bit rate: for a variable one it is a guess. Never throws.
 *
 * @param head The beginning of the recording.
 * @param totalBytes Size of all of it.
 */
export function audioSeconds(head: Buffer, totalBytes: number): number | undefined {
  return wav(head, totalBytes) ?? mp3(head, totalBytes)
}

function wav(head: Buffer, totalBytes: number): number | undefined {
  if (head.length < 44 || head.toString('latin1', 0, 4) !== 'RIFF' || head.toString('latin1', 8, 12) !== 'WAVE')
    return undefined
  let at = 12
  let bytesPerSecond = 0
  while (at + 8 <= head.length) {
    const name = head.toString('latin1', at, at + 4)
    const length = head.readUInt32LE(at + 4)
    if (name === 'fmt ' && at + 20 <= head.length) bytesPerSecond = head.readUInt32LE(at + 16)
    // Recordings that were streamed say a length that is too large.
    if (name === 'data') return bytesPerSecond > 0 ? Math.min(length, totalBytes - at - 8) / bytesPerSecond : undefined
    at += 8 + length + (length % 2)
  }
  return undefined
}

function mp3(head: Buffer, totalBytes: number): number | undefined {
  let from = 0
  if (head.length > 10 && head.toString('latin1', 0, 3) === 'ID3') {
    const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
    from = 10 + ((a & 0x7f) << 21) + ((b & 0x7f) << 14) + ((c & 0x7f) << 7) + (d & 0x7f)
  }
  for (let at = from; at + 4 <= head.length && at < from + MOST_SEARCHED; at += 1) {
    const second = head[at + 1] ?? 0
    // Eleven bits of synchronisation, a version that is not reserved, layer III.
    if (head[at] !== 0xff || (second & 0xe0) !== 0xe0 || (second & 0x18) === 0x08 || (second & 0x06) !== 0x02) continue
    const kbits = ((second & 0x18) === 0x18 ? MPEG1_KBITS : MPEG2_KBITS)[(head[at + 2] ?? 0) >> 4] ?? 0
    if (kbits > 0) return ((totalBytes - at) * 8) / (kbits * 1_000)
  }
  return undefined
}
