/** CRC-16/XMODEM, as the Redis Cluster specification asks for: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  return crc & 0xffff
})

/** The slot of a Cluster, 0 to 16,383, in which all keys with this hash tag are. */
export function hashSlot(tag: string): number {
  let crc = 0
  for (const byte of Buffer.from(tag)) crc = ((crc << 8) & 0xffff) ^ CRC16[(crc >>> 8) ^ byte]!
  return crc % 16_384
}
