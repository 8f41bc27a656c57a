/**
 * Names of attributes and metrics. Those of `gen_ai` are from the OpenTelemetry semantic conventions for generative AI,
 * as they stood on their main branch in November 2026 ("development", not tagged). Those of `tallygate` are ours.
 */
export const ATTRIBUTE = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.usage.cache_write.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',
  tokenType: 'gen_ai.token.type',
  errorType: 'error.type',
  status: 'http.response.status_code',
  /** admitted, refused, or, where the counters could not be reached, uncounted or local. */
  decision: 'tallygate.decision',
  /** Why a call was refused. */
  reason: 'tallygate.decision.reason',
  /** Plan and limit that is nearest to refusing, or that refused. */
  limit: 'tallygate.limit',
  /** Units left in that limit. */
  remaining: 'tallygate.limit.remaining',
  /** What that limit does when it trips: refuse, flag or shadow. */
  effect: 'tallygate.limit.effect',
  /** reported, reported-partial or estimated. */
  basis: 'tallygate.usage.basis',
  /** What the call cost by the price book, in whole units of its currency, as a fraction. */
  cost: 'tallygate.usage.cost',
  /** Of audio. */
  seconds: 'tallygate.usage.seconds',
  /** That were made. */
  images: 'tallygate.usage.images',
  searches: 'tallygate.usage.searches',
  /** What had to be explained in the figures, as the ledger has it. */
  flags: 'tallygate.usage.flags',
  /** complete, aborted or failed. */
  outcome: 'tallygate.outcome',
  overage: 'tallygate.overage',
  tenant: 'tallygate.tenant',
  /** Registry id or fingerprint of the key; never the key. */
  subject: 'tallygate.subject',
  plan: 'tallygate.plan',
  attempt: 'tallygate.attempt.id',
  call: 'tallygate.call.id',
  parent: 'tallygate.parent.id',
} as const

/** Names of the metrics. */
export const METRIC = {
  inputTokens: 'gen_ai.client.inference.usage.input_tokens',
  outputTokens: 'gen_ai.client.inference.usage.output_tokens',
  cacheReadTokens: 'gen_ai.client.inference.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.client.inference.usage.cache_write.input_tokens',
  reasoningTokens: 'gen_ai.client.inference.usage.reasoning.output_tokens',
  /** The histogram that dashboards were built on before the counters came. */
  tokenUsage: 'gen_ai.client.token.usage',
  duration: 'gen_ai.client.operation.duration',
  /** Decisions on calls, by decision, reason, plan and limit. */
  decisions: 'tallygate.decisions',
  /** Ledger entries, by outcome and basis of usage. */
  entries: 'tallygate.entries',
  /** Entries that could not be written or settled at once, by what failed. */
  delayed: 'tallygate.delayed',
  /** Settlements that were given up: their calls are in the ledger, and their counters may be without them. */
  dropped: 'tallygate.dropped',
  /** 1 while this node takes its counter store for away, else 0. */
  storeAway: 'tallygate.store.away',
  /** Units that calls used beyond a quota, by limit and by what it does when it trips. */
  overshoot: 'tallygate.quota.overshoot',
  /** What calls cost by the price book, in whole units of its currency. */
  cost: 'tallygate.usage.cost',
  /** Of audio. */
  seconds: 'tallygate.usage.seconds',
  /** Images that were made. */
  images: 'tallygate.usage.images',
  /** Searches by the provider's tools, or units of ranking. */
  searches: 'tallygate.usage.searches',
  /** Streams that were cut at a quota, or would have been, by limit and by what it does when it trips. */
  cuts: 'tallygate.quota.cuts',
  /** Counters that were seeded from the ledger: after a start, or because their store had lost them. */
  rebuilt: 'tallygate.counters.rebuilt',
  /** Counters less what the ledger says, by plan and limit: of a few subjects that called lately. */
  drift: 'tallygate.counter.drift',
} as const

/** Bucket edges that the conventions ask for. */
export const TOKEN_BOUNDARIES = [
  1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
]
/** In seconds, as the conventions ask for. */
export const DURATION_BOUNDARIES = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
]
