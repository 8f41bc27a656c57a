/** What stands between documents: an array's brackets and commas, line ends. */
const BETWEEN = /[\s,[\]]*/y
/** What a string in JSON ends or goes on with, and what opens and closes objects. */
const MARK = /["{}]|\\./g

/**
 * The JSON objects of a text, one after the other: one document, an array of them, or one on each line. What was cut off
 * at the end, or is no JSON, is left out. Reads the text twice at most.
 */
export function jsonDocuments(marked: string): readonly unknown[] {
  // A byte order mark may open it.
  const text = marked.startsWith('\ufeff') ? marked.slice(1) : marked
  const whole = parsed(text)
  if (whole !== undefined) return Array.isArray(whole) ? whole : [whole]
  const documents: unknown[] = []
  for (let from = start(text, 0); from < text.length;) {
    const end = endOfObject(text, from)
    const document = end === undefined ? undefined : parsed(text.slice(from, end))
    if (end === undefined || document === undefined) break
    documents.push(document)
    from = start(text, end)
  }
  return documents
}

function start(text: string, from: number): number {
  BETWEEN.lastIndex = from
  BETWEEN.test(text)
  return BETWEEN.lastIndex
}

function endOfObject(text: string, from: number): number | undefined {
  if (text[from] !== '{') return undefined
  let depth = 0
  let isString = false
  MARK.lastIndex = from
  for (let mark = MARK.exec(text); mark !== null; mark = MARK.exec(text)) {
    const [sign] = mark
    if (sign === '"') isString = !isString
    else if (isString || sign.length > 1) continue
    else depth += sign === '{' ? 1 : -1
    if (depth === 0 && !isString) return MARK.lastIndex
  }
  return undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
