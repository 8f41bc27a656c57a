import { isQuotaError, type Entry } from '@tallygate/core'

/** What became of entries that a ledger did not take together. */
export interface TakenApart {
  readonly taken: readonly Entry[]
  /** Each failed by itself. */
  readonly failed: readonly { readonly entry: Entry; readonly error: unknown }[]
}

/** So many failures before anything is taken mean that the ledger is away, and not that single entries are bad. */
const MOST_FAILURES = 32

/**
 * Appends entries that failed together in halves, and their halves, until those that fail are found.
 *
 * @param isSilent Whether an error only says that nothing was heard: then nothing more is tried.
 * @throws What the ledger throws, where it seems to be away.
 */
export async function takeApart(
  entries: readonly Entry[],
  append: (part: readonly Entry[]) => Promise<void>,
  isSilent: (error: unknown) => boolean,
): Promise<TakenApart> {
  const taken: Entry[] = []
  const failed: { entry: Entry; error: unknown }[] = []
  let failures = 0
  const halve = async (whole: readonly Entry[]): Promise<void> => {
    const middle = Math.ceil(whole.length / 2)
    for (const part of [whole.slice(0, middle), whole.slice(middle)]) {
      if (part.length === 0) continue
      try {
        await append(part)
        taken.push(...part)
      } catch (error) {
        failures += 1
        if (isSilent(error) || (taken.length === 0 && failures > MOST_FAILURES && !isRefusal(error))) throw error
        if (part.length === 1) failed.push({ entry: part[0]!, error })
        else await halve(part)
      }
    }
  }
  await halve(entries)
  return { taken, failed }
}

/** Whether a ledger says that it will never take what it was given, and not that it is away. */
export function isRefusal(error: unknown): boolean {
  return isQuotaError(error) && error.code !== 'ERR_QUOTA_LEDGER_UNAVAILABLE'
}
