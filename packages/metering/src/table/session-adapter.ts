import { pathOf, type Adapter, type AdapterMatch, type RequestShape } from './adapter.ts'

/** The address or the first messages say what a session wants. */
const IN_SESSION: RequestShape = { model: [], stream: [], ceiling: [], answers: [] }

/** Every realtime API that is metered: sessions over WebSocket, which begin with a GET. */
export const SESSION_ADAPTERS: readonly Adapter[] = [
  {
    // OpenAI, Azure and xAI.
    id: 'openai-realtime',
    provider: 'openai',
    operation: 'realtime',
    dialect: 'openai',
    route: /(?:^|\/(?:v\d+\w*|openai|api|voice-live))\/realtime\/?$/i,
    request: IN_SESSION,
    usage: 'realtime',
  },
  {
    // Of the Gemini API, and of Vertex AI.
    id: 'gemini-live',
    provider: 'gcp.gemini',
    operation: 'realtime',
    dialect: 'gemini',
    route:
      /\/google\.(?:ai\.generativelanguage|cloud\.aiplatform)\.\w+\.\w+[./]BidiGenerateContent(?:Constrained)?\/?$/i,
    request: IN_SESSION,
    usage: 'realtime',
  },
]

/** The realtime API that a request for a WebSocket calls; `undefined` where none is metered. */
export function matchSession(url: string): AdapterMatch | undefined {
  const path = plainPath(pathOf(url))
  const adapter = SESSION_ADAPTERS.find(({ route }) => route.test(path))
  return adapter === undefined ? undefined : { adapter, named: {} }
}

/** As a provider's server may understand it. */
function plainPath(path: string): string {
  const slashed = path.replaceAll(/\/{2,}/g, '/')
  try {
    return slashed.includes('%') ? decodeURIComponent(slashed) : slashed
  } catch {
    return slashed
  }
}
