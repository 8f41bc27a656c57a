const SQLITE_BUSY = 5

/** Whether another connection holds the lock that a statement needs. */
export function isBusy(error: unknown): boolean {
  const { errcode } = Object(error) as { errcode?: unknown }
  // The lower byte is the code; the others say more exactly why.
  return typeof errcode === 'number' && (errcode & 0xff) === SQLITE_BUSY
}
