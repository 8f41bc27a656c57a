import { QuotaError } from '@tallygate/core'
import {
  ADAPTERS,
  parseJsonBody,
  readRequestFacts,
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
    outputCeiling: outputCeiling(body.value, options.api) ?? null,
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

/** The largest of what the operations that are metered take for a ceiling; of the named one alone, where one is. */
function outputCeiling(body: Readonly<Record<string, unknown>>, api: string | undefined): number | undefined {
  const adapters = api === undefined ? ADAPTERS : ADAPTERS.filter(({ id }) => id === api)
  if (adapters.length === 0) {
    const ids = [...new Set(ADAPTERS.map(({ id }) => id))].join(', ')
    throw fault(`--api ${api}: no such operation; there are ${ids}`)
  }
  const ceilings = adapters.map((adapter) => readRequestFacts({ adapter, named: {} }, body).outputCeiling ?? 0)
  const most = Math.max(...ceilings)
  return most > 0 ? most : undefined
}

function fault(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_CONFIG', message)
}
