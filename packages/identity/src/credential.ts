/** Header names in lower case, as Node gives them. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** What a credential is looked for in. */
export interface CredentialRequest {
  readonly headers: Headers
  /** Path and query as they came. */
  readonly url: string
}

/** Where a credential stood. */
export type CredentialSource = 'authorization' | 'x-api-key' | 'api-key' | 'x-goog-api-key' | 'query'

/** What was found. The value is the secret: it goes no further than its fingerprint. */
export type CredentialSearch =
  | { readonly outcome: 'found'; readonly value: string; readonly source: CredentialSource }
  | { readonly outcome: 'malformed'; readonly source: CredentialSource }
  | { readonly outcome: 'missing' }

/** Headers that carry a credential, and must not reach a provider that it is not for. */
export const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'] as const

/** Where each provider's clients put their key: its own place first, as that is the one it obeys. */
const ORDER: Readonly<Record<string, readonly CredentialSource[]>> = {
  openai: ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key'],
  anthropic: ['x-api-key', 'authorization', 'api-key', 'x-goog-api-key'],
  bedrock: ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key'],
  cohere: ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key'],
  ollama: ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key'],
  gemini: ['x-goog-api-key', 'query', 'authorization', 'x-api-key', 'api-key'],
}
const ANY_ORDER: readonly CredentialSource[] = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'query']

const KEY = /^[\x21-\x7e]{1,4096}$/
const BEARER = /^Bearer(?: +|$)/i

/**
 * Finds the API key of a request: `Authorization: Bearer` (RFC 6750), `x-api-key`, `api-key`, `x-goog-api-key`, or the
 * query parameter `key`, which Gemini's clients use. Other schemes of `Authorization` are none of ours. A place that is
 * empty holds none; one that is filled twice is malformed, as nobody knows which of the two a provider obeys.
 *
 * @param dialect Whose clients call; decides which place counts if a request has several.
 */
export function findCredential({ headers, url }: CredentialRequest, dialect = 'problem'): CredentialSearch {
  for (const source of ORDER[dialect] ?? ANY_ORDER) {
    const value = source === 'query' ? queryKey(url) : headerKey(headers, source)
    if (value === undefined || value === '') continue
    return KEY.test(value) ? { outcome: 'found', value, source } : { outcome: 'malformed', source }
  }
  return { outcome: 'missing' }
}

/** Parameters by which a provider may take a key. */
const QUERY_CREDENTIALS: ReadonlySet<string> = new Set(['key', 'access_token', 'api_key', 'api-key'])

/** A url without the query parameters that may hold a key, for a provider that the key is not for. */
export function withoutQueryKey(url: string): string {
  const at = url.indexOf('?')
  if (at === -1) return url
  const kept = url
    .slice(at + 1)
    .split('&')
    .filter((pair) => !QUERY_CREDENTIALS.has(nameOf(pair)))
  return kept.length === 0 ? url.slice(0, at) : `${url.slice(0, at)}?${kept.join('&')}`
}

function headerKey(headers: Headers, source: Exclude<CredentialSource, 'query'>): string | undefined {
  const value = headers[source]
  const text = (typeof value === 'string' ? value : value?.join(', '))?.trim()
  if (source !== 'authorization' || text === undefined) return text
  if (text.startsWith('Bearer ')) return text.slice(7).trim()
  return BEARER.test(text) ? text.replace(BEARER, '') : undefined
}

function queryKey(url: string): string | undefined {
  const at = url.indexOf('?')
  if (at === -1) return undefined
  const values = url
    .slice(at + 1)
    .split('&')
    .filter((pair) => nameOf(pair) === 'key')
    .map((pair) => (pair.includes('=') ? decoded(pair.slice(pair.indexOf('=') + 1)) : ''))
  return values.length === 0 ? undefined : values.join(', ')
}

function nameOf(pair: string): string {
  const equals = pair.indexOf('=')
  return decoded(equals === -1 ? pair : pair.slice(0, equals))
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
