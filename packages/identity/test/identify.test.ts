import { MemoryKeyRegistry, type KeyRecord, type KeyRegistry } from '@tallygate/core'
import {
  fingerprint,
  hostSubject,
  Identifier,
  pepperOf,
  type Identification,
  type IdentifierOptions,
  type IdentifyRequest,
} from '@tallygate/identity'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import { inspect } from 'node:util'

const PEPPER = pepperOf('a pepper of this test, long enough')
const SECRET = 'sk-this-is-the-secret'
const PRINT = fingerprint(PEPPER, SECRET)

describe('Identifier', () => {
  let clock: SettableClock
  beforeEach(() => {
    clock = new SettableClock()
  })
  const identifier = (options: Partial<IdentifierOptions> = {}): Identifier =>
    new Identifier({ pepper: PEPPER, clock: clock.now, ...options })
  const registryOf = (record: Partial<KeyRecord> = {}): KeyRegistry =>
    new MemoryKeyRegistry([{ id: 'alice', fingerprint: PRINT, ...record }])

  describe('without a registry', () => {
    it('lets every key pass, under its fingerprint', async () => {
      expect(await identifier().identify(bearer(SECRET))).to.deep.equal({
        outcome: 'identified',
        subject: {
          id: PRINT,
          tenant: 'default',
          standing: 'unregistered',
          dimensions: { tenant: 'default', key: PRINT },
        },
        source: 'authorization',
      })
    })

    it('finds the same subject wherever the key stands', async () => {
      const one = identifier()
      const requests: readonly IdentifyRequest[] = [
        { headers: { 'x-api-key': SECRET }, url: '/' },
        { headers: { 'api-key': SECRET }, url: '/' },
        { headers: { 'x-goog-api-key': SECRET }, url: '/' },
        { headers: {}, url: `/?key=${SECRET}` },
      ]
      for (const request of requests)
        expect(await one.identify(request, 'gemini')).to.have.nested.property('subject.id', PRINT)
    })

    it('goes by the place that the dialect names first', async () => {
      const headers = { authorization: `Bearer ${SECRET}`, 'x-api-key': 'another-key' }
      const source = async (dialect: string): Promise<unknown> => ({
        ...(await identifier().identify({ headers, url: '/' }, dialect)),
      })
      expect(await source('openai')).to.include({ source: 'authorization' })
      expect(await source('anthropic')).to.include({ source: 'x-api-key' })
    })

    it('can refuse keys all the same', async () => {
      expect(await identifier({ unregistered: 'refuse' }).identify(bearer(SECRET))).to.deep.equal(refused('unknown'))
    })
  })

  describe('with a registry', () => {
    it('gives a registered key the id of the registry, so that a new pepper splits no history', async () => {
      const record = { tenant: 'acme', plans: ['pro'], dimensions: { user: '7', key: 'x', tenant: 'x' } }
      const found = await identifier({ registry: registryOf(record) }).identify(bearer(SECRET))
      expect(found).to.have.deep.property('subject', {
        id: 'alice',
        tenant: 'acme',
        standing: 'registered',
        plans: ['pro'],
        dimensions: { user: '7', tenant: 'acme', key: 'alice' },
      })
    })

    it('refuses others, or lets them pass', async () => {
      const registry = registryOf()
      expect(await identifier({ registry }).identify(bearer('other'))).to.deep.equal(refused('unknown'))
      const passed = await identifier({ registry, unregistered: 'pass' }).identify(bearer('other'))
      expect(passed).to.have.nested.property('subject.standing', 'unregistered')
    })

    it('refuses a key that is disabled, also where others may pass', async () => {
      const registry = registryOf({ disabled: true })
      for (const unregistered of ['pass', 'refuse'] as const)
        expect(await identifier({ registry, unregistered }).identify(bearer(SECRET))).to.deep.equal(refused('unknown'))
    })

    it('refuses a key from the instant at which it expires, also one that it just let pass', async () => {
      const registry = registryOf({ expiresAtMs: clock.now() + 10 })
      const one = identifier({ registry, unregistered: 'pass' })
      clock.advance(9)
      expect(await one.identify(bearer(SECRET))).to.include({ outcome: 'identified' })
      clock.advance(1)
      expect(await one.identify(bearer(SECRET))).to.deep.equal(refused('unknown'))
    })

    it('asks the registry by fingerprint, once in 30 seconds for a key', async () => {
      const { registry, asked } = recorded(registryOf())
      const one = identifier({ registry })
      for (let call = 0; call < 5; call += 1) await one.identify(bearer(SECRET))
      expect(asked).to.deep.equal([PRINT])
      clock.advance(29_999)
      await one.identify(bearer(SECRET))
      expect(asked).to.have.length(1)
      clock.advance(1)
      await one.identify(bearer(SECRET))
      expect(asked).to.have.length(2)
      await one.identify(bearer('other'))
      await one.identify(bearer('other'))
      expect(asked).to.deep.equal([PRINT, PRINT, fingerprint(PEPPER, 'other')])
    })

    it('asks again as often as the options say', async () => {
      const { registry, asked } = recorded(registryOf())
      const one = identifier({ registry, cacheMs: 0 })
      for (let call = 0; call < 3; call += 1) await one.identify(bearer(SECRET))
      expect(asked).to.have.length(3)
    })

    it("passes on a registry's error, without the secret, and asks again the next time", async () => {
      let isAway = true
      const registry: KeyRegistry = {
        find: async (print) => {
          if (isAway) throw new Error(`the registry is away: ${print}`)
          return registryOf().find(print)
        },
      }
      const one = identifier({ registry, unregistered: 'pass', missing: 'pass' })
      let caught: unknown
      await Promise.resolve(one.identify(bearer(SECRET))).catch((error: unknown) => (caught = error))
      expect(caught).to.be.instanceOf(Error).with.property('message', `the registry is away: ${PRINT}`)
      isAway = false
      expect(await one.identify(bearer(SECRET))).to.have.nested.property('subject.id', 'alice')
    })
  })

  it('knows the key again that a connection has presented before, and no other', async () => {
    const asked: string[] = []
    const registry: KeyRegistry = {
      find: async (print) => {
        asked.push(print)
        return registryOf().find(print)
      },
    }
    const connection = {}
    let nowMs = 0
    const one = identifier({ registry, cacheMs: 1_000, clock: () => nowMs })
    const subjectOf = async (key: string): Promise<unknown> => one.identify({ ...bearer(key), connection })
    for (let time = 0; time < 3; time += 1)
      expect(await subjectOf(SECRET)).to.have.nested.property('subject.id', 'alice')
    expect(await subjectOf('sk-another')).to.deep.equal({ outcome: 'refused', reason: 'unknown' })
    expect(await subjectOf(SECRET)).to.have.nested.property('subject.id', 'alice')
    expect(asked).to.have.length(2)
    nowMs = 1_000
    await subjectOf(SECRET)
    expect(asked).to.have.length(3)
  })

  describe('where there is no key', () => {
    for (const { options, passes } of [
      { options: {}, passes: true },
      { options: { missing: 'refuse' }, passes: false },
      { options: { unregistered: 'refuse' }, passes: false },
      { options: { unregistered: 'refuse', missing: 'pass' }, passes: true },
    ] as const) {
      it(`${passes ? 'lets the caller pass' : 'refuses'} with ${JSON.stringify(options)}`, async () => {
        const { outcome } = await identifier(options).identify({ headers: {}, url: '/', address: '192.0.2.7' })
        expect(outcome).to.equal(passes ? 'identified' : 'refused')
      })
    }

    it('refuses by default as soon as there is a registry', async () => {
      const found = await identifier({ registry: registryOf() }).identify({ headers: {}, url: '/' })
      expect(found).to.deep.equal(refused('missing'))
    })

    it('tells callers apart by their address, and keeps that to itself', async () => {
      const subjectAt = async (address?: string, options = {}): Promise<string> => {
        const found = await identifier(options).identify({ headers: {}, url: '/', address })
        if (found.outcome === 'refused') throw new Error(found.reason)
        expect(found.subject).to.include({ standing: 'anonymous', tenant: 'default' })
        expect(found.subject.id).to.match(/^anon_[0-9a-f]{32}$/)
        if (address !== undefined && address !== '') expect(JSON.stringify(found)).to.not.include(address)
        return found.subject.id
      }
      const alone = await subjectAt('2001:db8:1:2::3')
      expect(await subjectAt('2001:db8:1:ff::9')).to.equal(alone)
      expect(await subjectAt('2001:db8:1:ff::9', { ipv6Subnet: 64 })).to.not.equal(alone)
      expect(await subjectAt('192.0.2.7')).to.not.equal(alone)
      expect(await subjectAt('::ffff:192.0.2.7')).to.equal(await subjectAt('192.0.2.7'))
      expect(await subjectAt()).to.equal(await subjectAt(''))
    })
  })

  it('refuses what is malformed, also where requests without a key pass: it would be no way around a plan', async () => {
    for (const headers of [{ 'x-api-key': `${SECRET}, other` }, { authorization: `Bearer ${SECRET} x` }]) {
      const found = await identifier({ missing: 'pass' }).identify({ headers, url: '/', address: '192.0.2.7' })
      expect(found).to.deep.equal(refused('malformed'))
    }
  })

  describe('with a function that finds the key', () => {
    const options: Partial<IdentifierOptions> = {
      missing: 'refuse',
      credential: ({ headers }) => headers['x-team'] as string | undefined,
    }
    it('goes by what it finds, under a fingerprint, and by nothing else', async () => {
      const headers = { 'x-team': SECRET, authorization: 'Bearer other' }
      const found = await identifier(options).identify({ headers, url: '/' })
      expect(found).to.include({ outcome: 'identified', source: undefined })
      expect(found).to.have.nested.property('subject.id', PRINT)
    })

    for (const value of [undefined, '']) {
      it(`has no key where it finds ${JSON.stringify(value)}`, async () => {
        const headers = { 'x-team': value, authorization: 'Bearer other' }
        expect(await identifier(options).identify({ headers, url: '/' })).to.deep.equal(refused('missing'))
      })
    }
  })

  it('never gives away a secret: not in what it finds, not in itself', async () => {
    const one = identifier({ registry: registryOf(), unregistered: 'pass' })
    for (const key of [SECRET, `${SECRET}-unregistered`]) {
      const found = await one.identify(bearer(key))
      expect(JSON.stringify(found)).to.not.include(SECRET)
    }
    expect(inspect(one, { depth: 9, showHidden: true })).to.not.include(SECRET)
  })

  it('takes subnets from 32 to 64 bits', () => {
    for (const ipv6Subnet of [32, 56, 64]) expect(() => identifier({ ipv6Subnet })).to.not.throw()
  })

  for (const { options, says } of [
    { options: { missing: 'refused' }, says: 'missing is refused: use pass or refuse' },
    { options: { unregistered: true }, says: 'unregistered is true: use pass or refuse' },
    { options: { ipv6Subnet: 128 }, says: 'ipv6Subnet is 128: use a whole number from 32 to 64' },
    { options: { ipv6Subnet: 56.5 }, says: 'ipv6Subnet is 56.5: use a whole number from 32 to 64' },
    { options: { ipv6Subnet: Number.NaN }, says: 'ipv6Subnet is NaN: use a whole number from 32 to 64' },
  ]) {
    it(`says when it is made: ${says}`, () => {
      expect(() => identifier(options as object))
        .to.throw(says)
        .with.property('code', 'ERR_QUOTA_CONFIG')
    })
  }
})

describe('hostSubject', () => {
  it('vouches for an id, in its tenant, whatever else is said', () => {
    expect(hostSubject('7')).to.deep.equal({
      id: '7',
      tenant: 'default',
      standing: 'registered',
      dimensions: { tenant: 'default', key: '7' },
    })
    expect(hostSubject('7', { tenant: 'acme', key: 'x', group: 'staff' })).to.deep.include({
      tenant: 'acme',
      dimensions: { tenant: 'acme', key: '7', group: 'staff' },
    })
  })
})

function bearer(key: string): IdentifyRequest {
  return { headers: { authorization: `Bearer ${key}` }, url: '/' }
}

function refused(reason: 'missing' | 'malformed' | 'unknown'): Identification {
  return { outcome: 'refused', reason }
}

function recorded(inner: KeyRegistry): { registry: KeyRegistry; asked: string[] } {
  const asked: string[] = []
  const find: KeyRegistry['find'] = (print) => {
    asked.push(print)
    return inner.find(print)
  }
  return { registry: { find }, asked }
}
