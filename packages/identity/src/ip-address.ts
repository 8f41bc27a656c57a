import { isIPv6 } from 'node:net'

/**
 * An address as a caller is told by: IPv4 as it is, IPv6 cut to a subnet, as one caller usually has all of it.
 *
 * @param ipv6Subnet Bits that count, from 32 to 64. Default: 56.
 */
export function addressKey(address: string, ipv6Subnet = 56): string {
  const plain = address.split('%')[0]!
  if (!isIPv6(plain)) return plain
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  if (mapped !== null) return mapped[1]!
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0'), ...right]
  const kept = groups.slice(0, 4).map((group, index) => {
    const bits = Math.min(16, Math.max(0, ipv6Subnet - index * 16))
    return (Number.parseInt(group, 16) & (0xffff << (16 - bits)) & 0xffff).toString(16)
  })
  return `${kept.join(':')}::/${ipv6Subnet}`
}
