declare function setTimeout(callback: () => void, ms: number): number
declare function clearTimeout(timer: number): void

/**
 * What work comes to, or an error if that takes longer. The work itself goes on.
 *
 * @param ms Milliseconds; what is due at once is in time with 0.
 */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
