import { assertName, completeLimit, MAX_UNITS, type Limit } from '@tallygate/core'
import { expect } from 'chai'
import { complaint } from './complaint.ts'

const GOOD: Limit = { name: 'tokens-per-day', unit: 'tokens', quota: 10, window: { kind: 'fixed', every: 'day' } }
const AT = 'plans.pro.limits[0]'

describe('completeLimit', () => {
  it('fills in what is not said', () => {
    expect(completeLimit(GOOD, AT)).to.deep.equal({
      ...GOOD,
      per: ['key'],
      when: {},
      trip: 'fits',
      onTrip: 'refuse',
      mode: 'enforce',
      onStream: 'finish',
      onChange: { quota: 'now', duration: 'now' },
      onUnavailable: 'refuse',
    })
  })

  it('keeps what is said', () => {
    const said: Limit = {
      ...GOOD,
      per: ['user'],
      when: { model: ['gpt-*'], service: ['chat'], route: ['/v1/*'] },
      trip: 'reached',
      onTrip: 'flag',
      mode: 'shadow',
      onStream: 'cut',
      onChange: { quota: 'next-window', duration: 'next-window' },
      onUnavailable: 'admit',
    }
    expect(completeLimit(said, AT)).to.deep.equal(said)
  })

  it('puts dimensions in order, once each, and leaves out the tenant, which is always there', () => {
    const { per } = completeLimit({ ...GOOD, per: ['user', 'tenant', 'key', 'user'] }, AT)
    expect(per).to.deep.equal(['key', 'user'])
    expect(completeLimit({ ...GOOD, per: [] }, AT).per).to.deep.equal([])
  })

  it('takes members that are undefined for absent', () => {
    const window = { kind: 'fixed', every: 'day', zone: undefined, anchor: { hour: undefined } }
    const sparse = { ...GOOD, window, when: { model: undefined }, trip: undefined } as unknown as Limit
    expect(completeLimit(sparse, AT)).to.deep.include({ trip: 'fits', when: { model: undefined } })
  })

  it('cuts streams only for what a stream uses up as it runs', () => {
    const cutting: Limit = { ...GOOD, onStream: 'cut' }
    expect(completeLimit({ ...cutting, unit: 'output-tokens' }, AT).onStream).to.equal('cut')
    const says = 'use it for tokens or output-tokens'
    expect(complaint(() => completeLimit({ ...cutting, unit: 'requests' }, AT))).to.include(says)
    expect(complaint(() => completeLimit({ ...cutting, window: { kind: 'concurrent' } }, AT))).to.include(says)
  })

  for (const quota of [0, 1, MAX_UNITS, null]) {
    it(`takes a quota of ${quota}`, () => expect(completeLimit({ ...GOOD, quota }, AT).quota).to.equal(quota))
  }

  const bad: readonly { member: string; value: unknown; says: string }[] = [
    { member: 'name', value: undefined, says: 'name is undefined: use 1 to 64 letters' },
    { member: 'name', value: '', says: 'name is "": use 1 to 64 letters' },
    { member: 'name', value: 'tokens per day', says: 'name is "tokens per day": use 1 to 64 letters' },
    { member: 'name', value: 'a'.repeat(65), says: `name is "${'a'.repeat(65)}": use 1 to 64 letters` },
    { member: 'name', value: '-day', says: 'name is "-day": use 1 to 64 letters' },
    { member: 'name', value: 'day\n', says: 'name is "day\\n": use 1 to 64 letters' },
    { member: 'name', value: 5, says: 'name is 5: use 1 to 64 letters' },
    { member: 'unit', value: undefined, says: 'unit is undefined: use requests, tokens' },
    { member: 'unit', value: 'token', says: 'unit is "token": use requests, tokens' },
    { member: 'quota', value: undefined, says: 'quota is undefined: use a whole number from 0 to 4503599627370495' },
    { member: 'quota', value: -1, says: 'quota is -1: use a whole number' },
    { member: 'quota', value: 1.5, says: 'quota is 1.5: use a whole number' },
    { member: 'quota', value: MAX_UNITS + 1, says: 'quota is 4503599627370496: use a whole number' },
    { member: 'quota', value: Number.NaN, says: 'quota is NaN: use a whole number' },
    { member: 'quota', value: Infinity, says: 'quota is Infinity: use a whole number' },
    { member: 'quota', value: 10n, says: 'quota is 10: use a whole number' },
    { member: 'quota', value: '10', says: 'quota is "10": use a whole number' },
    { member: 'window', value: undefined, says: 'window is undefined: use an object with a kind' },
    { member: 'window', value: { kind: 'fixed', every: 'dya' }, says: 'window.every is "dya": use one of' },
    { member: 'per', value: 'key', says: 'per is "key": use a list of dimensions' },
    { member: 'per', value: null, says: 'per is null: use a list of dimensions' },
    { member: 'per', value: ['key', ''], says: 'per[1] is "": use a dimension such as key' },
    { member: 'per', value: ['a,b=c'], says: 'per[0] is "a,b=c": use a dimension such as key' },
    { member: 'per', value: [null], says: 'per[0] is null: use a dimension such as key' },
    { member: 'when', value: null, says: 'when is null: use an object with model, service, route' },
    { member: 'when', value: ['gpt-4'], says: 'when is ["gpt-4"]: use an object with model' },
    { member: 'when', value: { modle: ['gpt-4'] }, says: 'when.modle is ["gpt-4"]: there is no such member' },
    { member: 'when', value: { model: 'gpt-4' }, says: 'when.model is "gpt-4": use a list of patterns' },
    { member: 'when', value: { model: [] }, says: 'when.model is []: use a list of patterns' },
    { member: 'when', value: { route: [' '] }, says: 'when.route is [" "]: use a list of patterns' },
    { member: 'when', value: { service: [5] }, says: 'when.service is [5]: use a list of patterns' },
    { member: 'trip', value: 'over', says: 'trip is "over": use fits, reached, exceeded' },
    { member: 'onTrip', value: 'warn', says: 'onTrip is "warn": use refuse, flag' },
    { member: 'mode', value: null, says: 'mode is null: use enforce, shadow' },
    { member: 'onChange', value: 'now', says: 'onChange is "now": use an object with quota, duration' },
    { member: 'onChange', value: { quota: 'later' }, says: 'onChange.quota is "later": use now, next-window' },
    { member: 'onChange', value: { duration: 'later' }, says: 'onChange.duration is "later": use now, next-window' },
    { member: 'onUnavailable', value: 'local', says: 'onUnavailable is "local": use refuse, admit' },
    { member: 'onUnavailable', value: {}, says: 'onUnavailable.local is undefined: use a share of the quota' },
    { member: 'onUnavailable', value: { local: 0 }, says: 'onUnavailable.local is 0: use a share of the quota' },
    { member: 'onUnavailable', value: { local: 1.01 }, says: 'onUnavailable.local is 1.01: use a share' },
    { member: 'onUnavailable', value: { local: 1, nodes: 2 }, says: 'onUnavailable.nodes is 2: there is no such' },
    { member: 'limit', value: 10, says: 'limit is 10: there is no such member, use name, unit, quota' },
  ]
  for (const { member, value, says } of bad) {
    it(`says: ${says} …`, () => {
      const limit = { ...GOOD, [member]: value } as Limit
      expect(complaint(() => completeLimit(limit, AT)).slice(0, 19 + AT.length + says.length)).to.equal(
        `ERR_QUOTA_CONFIG: ${AT}.${says}`,
      )
    })
  }

  for (const limit of [undefined, null, 'day', 5, []]) {
    it(`says that ${JSON.stringify(limit)} is no limit`, () => {
      const said = complaint(() => completeLimit(limit as unknown as Limit, AT))
      expect(said).to.match(/^ERR_QUOTA_CONFIG: plans\.pro\.limits\[0\] is .+: use an object with name, unit, quota/)
    })
  }

  it('quotes values in part where they are long, and those that can not be written by their kind', () => {
    const circular: unknown[] = []
    circular.push(circular)
    const said = (name: unknown): string => complaint(() => completeLimit({ ...GOOD, name } as Limit, AT))
    expect(said('x'.repeat(10_000))).to.have.length.below(250)
    expect(said(circular)).to.include('name is an array: ')
    expect(said({ circular })).to.include('name is an object: ')
    expect(said(() => 'day')).to.include('name is a function: ')
    expect(said(Symbol('day'))).to.include('name is Symbol(day): ')
  })
})

describe('assertName', () => {
  for (const name of ['a', '7', 'tokens-per-day', 'a.b_c:d-e', 'A'.repeat(64)]) {
    it(`takes ${name}`, () => expect(complaint(() => assertName(name, 'name'))).to.equal('nothing'))
  }
  for (const name of ['.a', 'a/b', 'a b', 'ä', 'a"', 'a\r\nb', '*', undefined, null, {}]) {
    it(`refuses ${JSON.stringify(name)}`, () => {
      expect(complaint(() => assertName(name, 'plan.name'))).to.match(
        /^ERR_QUOTA_CONFIG: plan\.name is .+: use 1 to 64/,
      )
    })
  }
})
