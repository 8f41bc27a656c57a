export { bearerKeys } from './bearer-keys.ts'
export {
  CREDENTIAL_HEADERS,
  findCredential,
  withoutKeyProtocol,
  withoutQueryKey,
  type CredentialRequest,
  type CredentialSearch,
  type CredentialSource,
  type Headers,
} from './credential.ts'
export { fingerprint } from './fingerprint.ts'
export {
  hostSubject,
  Identifier,
  type Identification,
  type IdentifierOptions,
  type IdentifyRequest,
} from './identify.ts'
export { addressKey } from './ip-address.ts'
export { makeFolder } from './make-folder.ts'
export { pepperFromFile, pepperOf, type Pepper } from './pepper.ts'
export { RecentCache } from './recent-cache.ts'
