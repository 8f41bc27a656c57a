import { isIPv6 } from 'node:net'

const IPV4 = /^(?:\d{1,3}\.){3}\d{1,3}$/
/** `[2001:db8::1]:443` and `192.0.2.7:443`, as some proxies write addresses: a port tells no callers apart. */
const BRACKETED = /^\[([^\]]*)\](?::\d+)?$/
const IPV4_WITH_PORT = /^([\d.]+):\d+$/

/**
 * An address as a caller is told by: IPv4 as it is, IPv6 cut to a subnet, as one caller usually has all of it.
 *
 * @param ipv6Subnet Bits that count, from 32 to 64. Default: 56.
 */
export function addressKey(address: string, ipv6Subnet = 56): string {
  const trimmed = address.trim()
  const bare = BRACKETED.exec(trimmed)?.[1] ?? IPV4_WITH_PORT.exec(trimmed)?.[1] ?? trimmed
  const plain = bare.split('%')[0]!
  if (!isIPv6(plain)) return plain
  const groups = groupsOf(plain)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return ipv4Of(groups[6]!, groups[7]!)
  const kept = groups.slice(0, 4).map((group, index) => {
    const bits = Math.min(16, Math.max(0, ipv6Subnet - index * 16))
    return (group & (0xffff << (16 - bits)) & 0xffff).toString(16)
  })
  return `${kept.join(':')}::/${ipv6Subnet}`
}

/** The eight groups of an IPv6 address, whose last two may be written as IPv4 (RFC 4291 section 2.2). */
function groupsOf(address: string): readonly number[] {
  const [left = [], right = []] = address.split('::').map((half) => half.split(':').flatMap(groupOf))
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

function groupOf(text: string): readonly number[] {
  if (text === '') return []
  if (!IPV4.test(text)) return [Number.parseInt(text, 16)]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}

function ipv4Of(high: number, low: number): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
}
