import { JsonUsageReader, SseFramer, SseUsageReader, type UsageReading } from '@tallygate/metering'
import { adapterNamed } from './adapter-named.ts'

/** What a reader has learned of an answer that came in these pieces. */
export function readUsage(adapterId: string, framing: 'json' | 'sse', pieces: readonly Buffer[]): UsageReading {
  const adapter = adapterNamed(adapterId)
  if (framing === 'json') {
    const reader = new JsonUsageReader(adapter)
    for (const piece of pieces) reader.write(piece)
    reader.end()
    return reader.reading
  }
  const framer = new SseFramer()
  const reader = new SseUsageReader(adapter, framer)
  for (const piece of pieces) reader.read(framer.push(piece))
  reader.end(framer.held)
  return reader.reading
}
