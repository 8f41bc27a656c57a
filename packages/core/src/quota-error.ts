/** Every code a {@link QuotaError} can carry. Closed: switch on it without a default. */
export type QuotaErrorCode =
  /** An option, plan or limit that can't work; thrown at construction. */
  | 'ERR_QUOTA_CONFIG'
  /** A middleware ran before the one it depends on. */
  | 'ERR_QUOTA_MIDDLEWARE_ORDER'
  /** A plan needs something that the counter store doesn't have. */
  | 'ERR_QUOTA_CAPABILITY'
  /** The counters can't be reached, or did not answer in time. The command may have run. */
  | 'ERR_QUOTA_STORE_UNAVAILABLE'
  /** The store's clock and the node's windows did not meet in three tries. */
  | 'ERR_QUOTA_STALE'
  /** The ledger can't be reached or can't write. */
  | 'ERR_QUOTA_LEDGER_UNAVAILABLE'
  /** The outbox holds as many entries as it may. */
  | 'ERR_QUOTA_OUTBOX_FULL'
  /** A report was asked for with a filter, grouping, date or page that does not exist. */
  | 'ERR_QUOTA_QUERY'

export interface QuotaErrorOptions extends ErrorOptions {
  /** False where the store or ledger was surely not asked. Default: true. */
  readonly mayHaveRun?: boolean
  /** Of the change that failed, where it may be repeated under the same id. */
  readonly changeId?: string
}

/** The one error of this project. The message never holds a secret or a body. */
export class QuotaError extends Error {
  override readonly name = 'QuotaError'
  readonly code: QuotaErrorCode
  /** Whether what failed may have been done all the same. */
  readonly mayHaveRun: boolean
  /** Id of the change that failed: repeated under it, it is done once. Absent: it was no change. */
  readonly changeId?: string

  constructor(
    code: QuotaErrorCode,
    message: string,
    { mayHaveRun = true, changeId, ...options }: QuotaErrorOptions = {},
  ) {
    super(message, options)
    this.code = code
    this.mayHaveRun = mayHaveRun
    if (changeId !== undefined) this.changeId = changeId
  }
}

/** Whether an error is a {@link QuotaError} with this code; also across copies of the package. */
export function isQuotaError(error: unknown, code?: QuotaErrorCode): error is QuotaError {
  if (!(error instanceof Error) || error.name !== 'QuotaError') return false
  return code === undefined || (error as QuotaError).code === code
}
