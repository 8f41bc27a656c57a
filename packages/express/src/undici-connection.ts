import { Socket } from 'node:net'

/** A connection of undici's to a provider. */
export type UndiciConnection = Socket & { [IS_HELD]?: boolean }

const IS_HELD = Symbol('is held')

/** The one whose bytes are being parsed. */
let parsed: UndiciConnection | undefined

/**
 * Lets a connection be held, before undici gets it. Held by undici itself, it would end the process where the provider
 * closes it meanwhile: undici 7 takes that for an error of its own, and throws outside of any call.
 */
export function prepareConnection(socket: UndiciConnection): void {
  socket.read = read
  socket.on('error', rename)
}

/** The connection that an answer comes on; to ask for in a callback of undici's. */
export function connectionOfAnswer(): UndiciConnection | undefined {
  return parsed
}

/** Reads no more from a connection until it is released. What was read already comes yet. */
export function hold(connection: UndiciConnection | undefined): void {
  if (connection !== undefined) connection[IS_HELD] = true
}

/** Reads on, at the next tick: bytes may be being parsed. */
export function release(connection: UndiciConnection | undefined): void {
  if (connection?.[IS_HELD] !== true) return
  connection[IS_HELD] = false
  process.nextTick(readOn, connection)
}

function readOn(connection: UndiciConnection): void {
  connection.emit('readable')
}

function read(this: UndiciConnection, size?: number): Buffer | null {
  if (this[IS_HELD] === true) return null
  // oxlint-disable-next-line typescript/no-this-alias -- it is a method of the connection that is being parsed
  parsed = this
  return Socket.prototype.read.call(this, size) as Buffer | null
}

/**
 * Comes before undici's own listener, which takes a reset for the end of an answer that has no other, and opens a
 * connection in place of each whose call was given up. Neither at an error of this code.
 */
function rename(error: NodeJS.ErrnoException): void {
  const { code, message } = error
  if (code === 'ECONNRESET' || (code === 'UND_ERR_INFO' && message === 'aborted')) error.code = 'UND_ERR_SOCKET'
}
