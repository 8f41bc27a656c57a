const COLON = ':'
const DATA = 'data:'
/** A line's end and a blank line. */
const MOST_BLANK_LINE = 3

/** The `data` of each event in a piece of an event stream that holds whole events; lines of one event joined by LF. */
export function sseData(text: string): string[] {
  const found: string[] = []
  let data: string | undefined
  // A byte order mark may open a stream.
  for (const line of (text.startsWith('\ufeff') ? text.slice(1) : text).split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (data !== undefined) found.push(data)
      data = undefined
      continue
    }
    const colon = line.indexOf(COLON)
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data') continue
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    data = data === undefined ? value : `${data}\n${value}`
  }
  if (data !== undefined) found.push(data)
  return found
}

/**
 * The JSON documents in the events of a text; what is not JSON, such as `[DONE]`, is passed over.
 *
 * @param candidates Only events that hold one of these texts are parsed.
 */
export function sseDocuments(text: string, candidates?: readonly string[]): unknown[] {
  return sseData(text).flatMap((data) => {
    if (candidates?.some((candidate) => data.includes(candidate)) === false) return []
    try {
      return [JSON.parse(data)]
    } catch {
      return []
    }
  })
}

/** The document of an event. The usual event has one line of data, after one that names it or none. */
export function eventDocument(event: string): unknown {
  const at = event.startsWith(DATA) ? 0 : event.indexOf(`\n${DATA}`) + 1
  const lineEnd = event.indexOf('\n', at)
  const isUsual = event.startsWith(DATA, at) && lineEnd !== -1 && event.length - lineEnd <= MOST_BLANK_LINE
  if (!isUsual) return sseDocuments(event)[0]
  try {
    return JSON.parse(event.slice(at + DATA.length, lineEnd))
  } catch {
    return undefined
  }
}
