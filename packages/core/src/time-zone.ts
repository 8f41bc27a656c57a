/** Zones are named by callers of a report too, in any case: so that what is kept has an end. */
const MOST_FORMATS = 1_000
const formats = new Map<string, Intl.DateTimeFormat>()

/** Whether this runtime's time zone database knows the name. */
export function isTimeZone(zone: unknown): zone is string {
  if (typeof zone !== 'string') return false
  try {
    formatOf(zone)
    return true
  } catch {
    return false
  }
}

/** What a wall clock in the zone shows at an instant, as if it were UTC: whole milliseconds. */
export function localTime(zone: string, atMs: number): number {
  if (zone === 'UTC') return Math.floor(atMs)
  const parts: Record<string, number> = {}
  for (const { type, value } of formatOf(zone).formatToParts(atMs)) parts[type] = Number(value)
  const { year, month, day, hour, minute, second } = parts
  const local = Date.UTC(year!, month! - 1, day, hour, minute, second)
  return local + (((Math.floor(atMs) % 1000) + 1000) % 1000)
}

/** Milliseconds that the zone's clocks are ahead of UTC at an instant. */
export function zoneOffset(zone: string, atMs: number): number {
  if (zone === 'UTC') return 0
  const whole = Math.floor(atMs)
  return localTime(zone, whole) - whole
}

/**
 * The first instant at which the zone's clocks show a local time or have passed it: at a local time that is skipped,
 * the instant of the skip; at one that comes twice, its first coming.
 */
export function instantOf(zone: string, localMs: number): number {
  if (zone === 'UTC') return localMs
  const day = 86_400_000
  const before = zoneOffset(zone, localMs - day)
  const after = zoneOffset(zone, localMs + day)
  const candidates = [localMs - Math.max(before, after), localMs - Math.min(before, after)]
  for (const candidate of candidates) {
    if (candidate + zoneOffset(zone, candidate) === localMs) return candidate
  }
  return transitionBetween(zone, candidates[0]! - 1, candidates[1]!)
}

/** The instant in (`fromMs`, `toMs`] at which the zone's offset takes the value it has at `toMs`. */
export function transitionBetween(zone: string, fromMs: number, toMs: number): number {
  const offset = zoneOffset(zone, toMs)
  let low = fromMs
  let high = toMs
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (zoneOffset(zone, middle) === offset) high = middle
    else low = middle
  }
  return high
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'iso8601',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    if (formats.size >= MOST_FORMATS) formats.clear()
    formats.set(zone, format)
  }
  return format
}
