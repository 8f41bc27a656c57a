import { QuotaError } from '@tallygate/core'
import {
  ADAPTERS,
  parseJsonBody,
  readRequestFacts,
  requestParts,
  tokenFamily,
  TokenCounter,
  type JsonBodyFault,
} from '@tallygate/metering'

/** Options of `tallygate count`. */
export interface CountOptions {
  readonly provider?: string
  readonly model?: string
  /** An operation's id, where the body alone does not tell which member is its ceiling. */
  readonly api?: string
}

/** What a request holds for the model to read, by operation: one of these. */
const READ_BY_MODEL: Readonly<Record<string, readonly string[]>> = {
  'openai-chat': ['messages'],
  'openai-responses': ['input', 'prompt', 'previous_response_id', 'conversation'],
  'anthropic-messages': ['messages'],
  'gemini-generate': ['contents'],
}

/** More is no request that a provider takes. */
const MOST_BYTES = 64 * 1_048_576
/** Nobody waits in line here: a large request is counted to its end. */
const DEADLINE_MS = 30_000

const FAULTS: Readonly<Record<JsonBodyFault, string>> = {
  'not-json': 'the request on standard input is no JSON',
  'not-an-object': 'the request on standard input is no JSON object',
  'duplicate-key': 'the request on standard input has two members of one name: a provider could take either',
}

/**
 * Counts a request as a call through the gateway would be counted. Returns the JSON to print.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for what is no request; the message says what to do.
 */
export async function countCommand(input: AsyncIterable<Uint8Array>, options: CountOptions): Promise<string> {
  const bytes = await readAll(input)
  if (bytes.length === 0) throw fault('nothing came on standard input: tallygate count --model gpt-4o < request.json')
  const body = parseJsonBody(bytes)
  if (!body.ok) throw fault(FAULTS[body.fault])
  const named = body.value['model']
  const model = options.model ?? (typeof named === 'string' ? named : undefined)
  if (model === undefined) throw fault('the request names no model: say it with --model')
  const adapters = adaptersOf(options.api)
  assertReadable(body.value, options.api)
  const counter = new TokenCounter({ deadlineMs: DEADLINE_MS })
  const { tokens } = await counter.count({
    kind: 'prompt',
    body: new Uint8Array(bytes),
    model,
    provider: options.provider,
  })
  await counter.close()
  return JSON.stringify({
    inputTokens: tokens,
    outputCeiling: outputCeiling(body.value, adapters) ?? null,
    basis: 'estimated',
    encoding: tokenFamily(model).encoding,
  })
}

async function readAll(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of input) {
    length += chunk.length
    if (length > MOST_BYTES) throw fault(`the request is larger than ${MOST_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The operations that are metered, or the one that is named. */
function adaptersOf(api: string | undefined): typeof ADAPTERS {
  const adapters = api === undefined ? ADAPTERS : ADAPTERS.filter(({ id }) => id === api)
  if (adapters.length > 0) return adapters
  const ids = [...new Set(ADAPTERS.map(({ id }) => id))].join(', ')
  throw fault(`--api ${api}: no such operation; there are ${ids}`)
}

/** Refuses what holds nothing for a model to read, which every provider refuses too: what it counts to says nothing. */
function assertReadable(body: Readonly<Record<string, unknown>>, api: string | undefined): void {
  const holds = (name: string): boolean => {
    const value = body[name] ?? undefined
    return value !== undefined && !(Array.isArray(value) && value.length === 0)
  }
  if (api !== undefined) {
    const members = READ_BY_MODEL[api]
    if (members === undefined || members.some(holds)) return
    throw fault(
      `the request has no ${members.join(', ')}: ${api} needs ${members.length === 1 ? 'them' : 'one of them'}`,
    )
  }
  const { texts, media, encoded, hasServerState } = requestParts(body)
  if (texts.length + media.length + encoded > 0 || hasServerState) return
  if (Object.values(READ_BY_MODEL).flat().some(holds)) return
  const what = 'nothing that a model reads, such as messages, input or contents'
  throw fault(`the request has ${what}: give it some, or name its operation with --api`)
}

/** The largest of what operations take for a ceiling. */
function outputCeiling(body: Readonly<Record<string, unknown>>, adapters: typeof ADAPTERS): number | undefined {
  const ceilings = adapters.map((adapter) => readRequestFacts({ adapter, named: {} }, body).outputCeiling ?? 0)
  const most = Math.max(...ceilings)
  return most > 0 ? most : undefined
}

function fault(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_CONFIG', message)
}
