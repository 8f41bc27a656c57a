import { connect } from 'node:net'

/** What Redis answers: nested lists of texts, numbers and nothing. */
export type RedisAnswer = string | number | null | readonly RedisAnswer[]

/**
 * Sends one command to a Redis on the loopback interface, over a connection of its own.
 *
 * @throws Error with what Redis says where it refuses.
 */
export async function askRedis(port: number, ...command: readonly (string | number)[]): Promise<RedisAnswer> {
  const socket = connect(port, '127.0.0.1')
  const parts = command.map((part) => `$${Buffer.byteLength(String(part))}\r\n${part}\r\n`)
  socket.write(`*${parts.length}\r\n${parts.join('')}`)
  let received = ''
  try {
    for await (const chunk of socket.setEncoding('latin1')) {
      received += String(chunk)
      const answer = parse(received, 0)
      if (answer === undefined) continue
      if (answer.value instanceof Error) throw answer.value
      return answer.value
    }
  } finally {
    socket.destroy()
  }
  throw new Error(`Redis on port ${port} closed the connection after ${command.join(' ')}`)
}

/** `undefined`: more is to come. */
function parse(text: string, at: number): { value: RedisAnswer | Error; end: number } | undefined {
  const lineEnd = text.indexOf('\r\n', at)
  if (lineEnd === -1) return undefined
  const [kind, line, end] = [text[at], text.slice(at + 1, lineEnd), lineEnd + 2]
  const length = Number(line)
  switch (kind) {
    case '-':
      return { value: new Error(line), end }
    case ':':
      return { value: length, end }
    case '$':
      if (length === -1) return { value: null, end }
      return text.length < end + length + 2
        ? undefined
        : { value: text.slice(end, end + length), end: end + length + 2 }
    case '*':
      return parseList(text, end, length)
    default:
      return { value: line, end }
  }
}

function parseList(text: string, from: number, length: number): { value: RedisAnswer; end: number } | undefined {
  const value: RedisAnswer[] = []
  let end = from
  while (value.length < length) {
    const item = parse(text, end)
    if (item === undefined) return undefined
    value.push(item.value instanceof Error ? item.value.message : item.value)
    end = item.end
  }
  return { value, end }
}
