import { runs } from '@tallygate/testkit'
import { addressKey } from '@tallygate/identity'
import { expect } from 'chai'
import fc from 'fast-check'
import { isIPv6 } from 'node:net'

describe('addressKey', () => {
  const same: readonly { address: string; subnet?: number; is: string }[] = [
    { address: '192.0.2.7', is: '192.0.2.7' },
    { address: '192.0.2.7:50123', is: '192.0.2.7' },
    { address: ' 192.0.2.7 ', is: '192.0.2.7' },
    { address: '::ffff:192.0.2.7', is: '192.0.2.7' },
    { address: '::FFFF:192.0.2.7', is: '192.0.2.7' },
    { address: '::ffff:c000:207', is: '192.0.2.7' },
    { address: '0:0:0:0:0:ffff:192.0.2.7', is: '192.0.2.7' },
    { address: '0000:0000:0000:0000:0000:ffff:c000:0207', is: '192.0.2.7' },
    { address: '[::ffff:192.0.2.7]:443', is: '192.0.2.7' },
    { address: '2001:db8:1:2:3:4:5:6', is: '2001:db8:1:0::/56' },
    { address: '2001:DB8:0001:00ff::6', is: '2001:db8:1:0::/56' },
    { address: '2001:db8:1:1ff::', is: '2001:db8:1:100::/56' },
    { address: '[2001:db8:1:2::3]:443', is: '2001:db8:1:0::/56' },
    { address: '[2001:db8:1:2::3]', is: '2001:db8:1:0::/56' },
    { address: 'fe80::1%eth0', is: 'fe80:0:0:0::/56' },
    { address: '::1', is: '0:0:0:0::/56' },
    { address: '::', is: '0:0:0:0::/56' },
    { address: '64:ff9b::192.0.2.7', is: '64:ff9b:0:0::/56' },
    { address: '2001:db8:1:2::', subnet: 64, is: '2001:db8:1:2::/64' },
    { address: '2001:db8:ffff:2::', subnet: 33, is: '2001:db8:8000:0::/33' },
    { address: '2001:db8:ffff:2::', subnet: 32, is: '2001:db8:0:0::/32' },
    { address: '2001:db8:ffff:2::', subnet: 48, is: '2001:db8:ffff:0::/48' },
  ]
  for (const { address, subnet, is } of same) {
    it(`tells ${JSON.stringify(address)} by ${is}`, () => expect(addressKey(address, subnet)).to.equal(is))
  }

  for (const garbage of [
    '',
    'unknown',
    '_hidden',
    '1.2.3',
    '999.1.1.1',
    '2001:db8:::1',
    '%eth0',
    '[',
    '[]:',
    '::ffff:',
  ]) {
    it(`survives ${JSON.stringify(garbage)}`, () => expect(addressKey(garbage)).to.be.a('string'))
  }

  it('survives any text', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV6(), fc.ipV4()), (text) => void addressKey(text)))
  })

  it('tells addresses of one subnet by one key, and those of two by two', () => {
    const group = fc.nat(0xffff)
    const address = fc.array(group, { minLength: 8, maxLength: 8 })
    const property = fc.property(address, address, fc.integer({ min: 32, max: 64 }), (one, other, subnet) => {
      const bitsOf = (groups: readonly number[]): string =>
        groups
          .map((each) => each.toString(2).padStart(16, '0'))
          .join('')
          .slice(0, subnet)
      const textOf = (groups: readonly number[]): string => groups.map((each) => each.toString(16)).join(':')
      const mixed = [...one.slice(0, 3), other[3]!, ...other.slice(4)]
      for (const second of [other, mixed]) {
        expect(isIPv6(textOf(second))).to.equal(true)
        const isSame = addressKey(textOf(one), subnet) === addressKey(textOf(second), subnet)
        expect(isSame).to.equal(bitsOf(one) === bitsOf(second))
      }
    })
    fc.assert(property, { numRuns: runs(300) })
  })
})
