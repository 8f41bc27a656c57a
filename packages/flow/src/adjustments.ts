import {
  configError,
  isQuotaError,
  QuotaError,
  type Admission,
  type AdjustmentEntry,
  type BoundLimit,
  type CallFacts,
  type CounterAdjustment,
  type Ledger,
  type Subject,
} from '@tallygate/core'
import { announce } from './announced-adjustment.ts'
import { attemptId } from './attempt-id.ts'

/** As long as stores remember ids at least. */
const REPEATED_WITHIN_MS = 60_000

/** Who changes a counter, and why it is allowed. */
export interface AdjustOptions {
  /** Who did it, for the ledger. */
  readonly by?: string
  /** Id of the change: the same twice changes nothing. Default: a new one. */
  readonly id?: string
  /** Of a call, where the limit is for some calls, or `per` something of a call. Default: `any`. */
  readonly facts?: CallFacts | 'any'
}

export interface RefundOptions extends AdjustOptions {
  /** The attempt that it is for. */
  readonly refundOf?: string
}

export interface AdjustmentsOptions {
  readonly admission: Admission
  readonly ledger: Ledger
  /** Limits of a subject, for calls of which this is known. */
  readonly limitsOf: (subject: Subject, facts: CallFacts | 'any') => Promise<readonly BoundLimit[]>
}

/**
 * Resets, top-ups and refunds: an entry in the ledger first, then the counter, so that they survive a rebuild, and what
 * was used stays in the ledger. A counter that does not have it then, as its store could not be reached or the process
 * died, has it by a repeat with the same id within a minute, by the next sweep ({@link announce}), or when it is rebuilt.
 */
export class Adjustments {
  readonly #options: AdjustmentsOptions

  constructor(options: AdjustmentsOptions) {
    this.#options = options
  }

  /**
   * Changes one limit's counter of a subject.
   *
   * @param limit Its name, with that of its plan where several plans have one of that name: `pro/tokens-per-month`.
   * @throws QuotaError `ERR_QUOTA_CONFIG` for a limit that the subject does not have, or an amount that is none;
   * `ERR_QUOTA_LEDGER_UNAVAILABLE` or `ERR_QUOTA_STORE_UNAVAILABLE`: repeat it with the `changeId` of the error as `id`.
   */
  async adjust(
    adjustment: AdjustmentEntry['adjustment'],
    subject: Subject,
    limit: string,
    amount: number,
    { id = attemptId(), facts = 'any', ...options }: RefundOptions = {},
  ): Promise<void> {
    assertAmount(amount)
    const bound = await this.#limit(subject, limit, facts)
    assertAdjustable(bound, adjustment)
    try {
      await this.#change(adjustment, subject, bound, amount, { id, ...options })
    } catch (error) {
      throw repeatable(error, id)
    }
  }

  async #change(
    adjustment: AdjustmentEntry['adjustment'],
    subject: Subject,
    bound: BoundLimit,
    amount: number,
    { id, by, refundOf }: Omit<RefundOptions, 'facts'> & { readonly id: string },
  ): Promise<void> {
    const { admission, ledger } = this.#options
    const { nowMs, statuses } = await admission.read([bound], { subject: subject.id })
    const { owner, partition, name: counter } = bound.counter
    const { unit } = bound.limit.definition
    const entry: AdjustmentEntry = {
      kind: 'adjustment',
      id,
      tenant: subject.tenant,
      atMs: nowMs,
      adjustment,
      owner,
      partition,
      counter,
      unit,
      amount: adjustment === 'reset' ? statuses[0]!.used : amount,
      ...(by === undefined ? {} : { by }),
      ...(refundOf === undefined ? {} : { refundOf }),
    }
    const announcement = await announce(admission.store, bound, { id, subject })
    await ledger.append([entry])
    // A repeat has the first one's instant and amount.
    const [written = entry] = await ledger.find(subject.tenant, [id])
    if (written.kind !== 'adjustment' || written.counter !== counter || written.partition !== partition) {
      await announcement.takeBack()
      throw new QuotaError('ERR_QUOTA_CONFIG', `${id} is the id of another entry: use a new one`)
    }
    // Later, nobody could tell whether the counter has it: what a store forgets, it was seeded with.
    if (nowMs - written.atMs <= REPEATED_WITHIN_MS) {
      const change: CounterAdjustment = { id, bound, adjustment, amount: written.amount, atMs: written.atMs }
      await admission.adjust(change)
    }
    await announcement.takeBack()
  }

  async #limit(subject: Subject, name: string, facts: CallFacts | 'any'): Promise<BoundLimit> {
    const bound = await this.#options.limitsOf(subject, facts)
    const named = bound.filter(({ limit, counter }) => counter.name === name || limit.name === name)
    const [only] = named
    if (only !== undefined && named.length === 1) return only
    const known = bound.map(({ counter }) => counter.name).join(', ') || 'none'
    throw new QuotaError('ERR_QUOTA_CONFIG', `${subject.id} has no limit ${JSON.stringify(name)}: use one of ${known}`)
  }
}

/** Whoever gave no id must learn the one that it was tried under: under another, it could be done twice. */
function repeatable(error: unknown, changeId: string): unknown {
  if (!isQuotaError(error, 'ERR_QUOTA_STORE_UNAVAILABLE') && !isQuotaError(error, 'ERR_QUOTA_LEDGER_UNAVAILABLE'))
    return error
  const { code, message, mayHaveRun } = error
  const remedy = `repeat it with id ${JSON.stringify(changeId)}`
  return new QuotaError(code, `${message}: ${remedy}`, { cause: error, mayHaveRun, changeId })
}

function assertAmount(amount: number): void {
  if (!Number.isSafeInteger(amount) || amount < 0) throw configError('amount', amount, 'use a whole number from 0')
}

/** Before anything is written: what a window does not have would stay in the ledger. */
function assertAdjustable({ limit, counter }: BoundLimit, adjustment: AdjustmentEntry['adjustment']): void {
  const { kind } = limit.definition.window
  const isOdd = kind === 'concurrent' || (adjustment === 'top-up' && kind === 'sliding')
  if (isOdd) throw new QuotaError('ERR_QUOTA_CONFIG', `${counter.name} is a ${kind} window: it takes no ${adjustment}`)
}
