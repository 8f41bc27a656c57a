/** A source of time. Milliseconds since the Unix epoch, whole or not; never goes back. */
export type Clock = () => number

interface Monotonic {
  now(): number
  readonly timeOrigin: number
}

declare const performance: Monotonic

/**
 * The default clock: starts at the machine's time and then only counts on, so that a clock that is set back or forward
 * while the process runs changes no window.
 */
export const monotonicClock: Clock = () => performance.timeOrigin + performance.now()
