import { isQuotaError } from '@tallygate/core'

/** What a call complains of, as `CODE: message`. Errors that are not this project's own pass through. */
export function complaint(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (isQuotaError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'nothing'
}

/** As {@link complaint}, of a promise. */
export function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: unknown) =>
      complaint(() => {
        throw error
      }),
  )
}
