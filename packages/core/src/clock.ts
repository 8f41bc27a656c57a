/** A source of time. Milliseconds since the Unix epoch, whole or not; never goes back. */
export type Clock = () => number

interface Monotonic {
  now(): number
  readonly timeOrigin: number
}

declare const performance: Monotonic

/** Read once: asking for it takes as long as asking for the time. */
const ORIGIN_MS = performance.timeOrigin

/**
 * The default clock: starts at the machine's time and then only counts on, so that a clock that is set back or forward
 * while the process runs changes no window.
 */
export const monotonicClock: Clock = () => ORIGIN_MS + performance.now()
