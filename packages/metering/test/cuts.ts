import fc from 'fast-check'

/** Places at which a network could cut; they apply to a text of any length. */
export const anyCuts: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(1_000_000), { maxLength: 12 })

/** Bytes in pieces. Each piece is a copy, so that what lies behind it can't be read. */
export function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((one, other) => one - other)
  const ends = [...places, bytes.length]
  return ends.map((end, index) => Buffer.from(bytes.subarray(ends[index - 1] ?? 0, end)))
}

/** All ways to cut once, and the one to cut everywhere. */
export function* everyCut(bytes: Buffer): Generator<Buffer[]> {
  for (let cut = 0; cut <= bytes.length; cut += 1) yield cutAt(bytes, [cut])
  yield singleBytes(bytes)
}

/** Byte for byte. */
export function singleBytes(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.of(byte))
}
