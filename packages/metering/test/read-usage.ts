import { UsageCollector, usageReaderFor, type Framing, type UsageReading } from '@tallygate/metering'
import { adapterNamed } from './adapter-named.ts'

/** What a reader has learned of an answer that came in these pieces. */
export function readUsage(adapterId: string, framing: Framing, pieces: readonly Buffer[]): UsageReading {
  const reader = usageReaderFor(framing, new UsageCollector(adapterNamed(adapterId).usage))
  for (const piece of pieces) reader.write(piece)
  reader.end()
  return reader.reading
}
