import type { RequestFault } from './metered-request.ts'

/** Why nobody knows who calls, as the caller is told. */
export const UNAUTHENTICATED = {
  missing: 'No API key was given. Send it as "Authorization: Bearer <key>", or in the header that your provider uses.',
  malformed: 'The API key is malformed: it is too long, or has characters that no key has.',
  unknown: 'The API key is not known here. Check it, or ask for a new one.',
} as const

/** What is wrong with a body, as the caller is told. */
export const BODY_FAULTS: Readonly<Record<RequestFault, string>> = {
  'not-json': 'The body is not valid JSON.',
  'not-an-object': 'The body must be a JSON object.',
  'not-a-form': 'The body is not a valid form: it has no boundary, no end, or too many parts.',
  'not-of-operation': 'The body has nothing of what such a request says, such as its model.',
  'duplicate-key': 'The body has two members with the same name in one object: send each once.',
}
