import { isBusy } from './sqlite-busy.ts'

/** That a database takes no entries, or takes them again. */
export interface LedgerOutage {
  /** Nothing waits any more: it has taken all. */
  readonly isOver: boolean
  /** What the database said last. */
  readonly cause: string
  /** Entries in the journal that the database has not taken. */
  readonly waiting: number
  /** How long it has taken none, in milliseconds. */
  readonly forMs: number
}

/** Others lock the database for a moment whenever they write: only a lock that lasts longer is told. */
const LOCKED_FOR_MS = 1_000
const LEAST_BETWEEN_MS = 60_000

/** Tells of outages: when one begins, at most once a minute; then once a minute as long as it lasts; when it is over. */
export class OutageNotice {
  readonly #tell: (outage: LedgerOutage) => void
  #sinceMs: number | undefined
  #cause = ''
  #toldAtMs = -Infinity
  #isTold = false

  constructor(tell: (outage: LedgerOutage) => void) {
    this.#tell = tell
  }

  /** The database took nothing, of so many entries. */
  failed(cause: unknown, waiting: number): void {
    const nowMs = performance.now()
    this.#sinceMs ??= nowMs
    this.#cause = cause instanceof Error ? cause.message : String(cause)
    const forMs = Math.round(nowMs - this.#sinceMs)
    if ((isBusy(cause) && forMs < LOCKED_FOR_MS) || nowMs - this.#toldAtMs < LEAST_BETWEEN_MS) return
    this.#toldAtMs = nowMs
    this.#isTold = true
    this.#tell({ isOver: false, cause: this.#cause, waiting, forMs })
  }

  /** The database has taken all there was. */
  tookAll(): void {
    if (this.#sinceMs === undefined) return
    const forMs = Math.round(performance.now() - this.#sinceMs)
    this.#sinceMs = undefined
    if (!this.#isTold) return
    this.#isTold = false
    this.#tell({ isOver: true, cause: this.#cause, waiting: 0, forMs })
  }
}
