import { connect, type Socket } from 'node:net'

/** A load on one server: so many requests over so many connections, and no more. */
export interface Load {
  readonly port: number
  readonly body: string
  readonly connections: number
  readonly requests: number
  /** Key of the next request. Default: the same for all. */
  readonly nextKey?: () => string
}

const KEY = 'sk-bench-0123456789abcdef'
const END_OF_CHUNKS = Buffer.from('0\r\n\r\n')

/** Sends requests, each connection one after the other, and counts answers that are complete. Rejects on any other status than 200. */
export async function runLoad({ port, body, connections, requests, nextKey = () => KEY }: Load): Promise<void> {
  const head = ['POST /v1/chat/completions HTTP/1.1', `host: 127.0.0.1:${port}`, 'content-type: application/json']
  const rest = [`content-length: ${Buffer.byteLength(body)}`, '', body]
  const requestWith = (key: string): Buffer =>
    Buffer.from([...head, `authorization: Bearer ${key}`, ...rest].join('\r\n'))
  let left = requests
  const worker = async (): Promise<void> => {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    while (left > 0) {
      left -= 1
      await exchange(socket, requestWith(nextKey()))
    }
    socket.destroy()
  }
  await Promise.all(Array.from({ length: connections }, worker))
}

function exchange(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let expected = -1
    let received = 0
    const finish = (error?: Error): void => {
      socket.off('data', take).off('error', finish).off('close', closed)
      if (error === undefined) resolve()
      else reject(error)
    }
    const closed = (): void => finish(new Error('the connection was closed'))
    const take = (bytes: Buffer): void => {
      if (received === 0) {
        const head = bytes.toString('latin1', 0, Math.min(bytes.length, 4_096))
        if (!head.startsWith('HTTP/1.1 200')) return finish(new Error(head.slice(0, 200)))
        const length = /content-length: (\d+)/i.exec(head)?.[1]
        if (length !== undefined) expected = head.indexOf('\r\n\r\n') + 4 + Number(length)
      }
      received += bytes.length
      if (expected === -1 ? bytes.subarray(-END_OF_CHUNKS.length).equals(END_OF_CHUNKS) : received >= expected) finish()
    }
    socket.on('data', take).on('error', finish).on('close', closed)
    socket.write(request)
  })
}
