// #region identify
import { MemoryKeyRegistry } from '@tallygate/core'
import { fingerprint, Identifier, pepperOf } from '@tallygate/identity'

const pepper = pepperOf('at least 32 characters, at random, kept')
const registry = new MemoryKeyRegistry([
  { id: 'alice', fingerprint: fingerprint(pepper, 'alice-has-this-secret'), plans: ['pro'] },
])
const identifier = new Identifier({ pepper, registry })

const known = await identifier.identify({ url: '/', headers: { authorization: 'Bearer alice-has-this-secret' } })
console.log(known.outcome === 'identified' && known.subject.id) // alice

const unknown = await identifier.identify({ url: '/', headers: { 'x-api-key': 'guessed' } })
console.log(unknown.outcome === 'refused' && unknown.reason) // unknown
// #endregion identify
