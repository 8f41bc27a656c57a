const DAY = /^\d{4}-\d{2}-\d{2}/
const INSTANT = /^.{10}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/

/** Milliseconds of an instant, or of a day's beginning in UTC; `undefined` for what is none, or no calendar has. */
export function instantMs(text: string): number | undefined {
  const [day] = DAY.exec(text) ?? []
  if (day === undefined || !INSTANT.test(text)) return undefined
  const [startMs, ms] = [Date.parse(day), Date.parse(text)]
  // `Date.parse` takes a 30th of February for a day in March, and what has no zone for one in the zone of the machine.
  const isInCalendar = !Number.isNaN(startMs) && new Date(startMs).toISOString().startsWith(day)
  return isInCalendar && !Number.isNaN(ms) ? ms : undefined
}
