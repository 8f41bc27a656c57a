/** Takes messages as they go by. Payloads may be parts of the bytes that were written: don't keep them as they are. */
export interface WebSocketTarget {
  /** A message that could be held as a whole. */
  message(payload: Buffer): void
  /** The next piece of one that could not; the first holds it from its beginning. */
  piece(bytes: Buffer, isLast: boolean): void
}

/** Opcodes. Source: RFC 6455 section 5.2. */
const CONTINUATION = 0x0
const BINARY = 0x2
const CLOSE = 0x8
const PONG = 0xa

const FINAL = 0x80
const RESERVED = 0x70
const MASKED = 0x80
const MOST_CONTROL_BYTES = 125
/** Two bytes, up to eight of a length, four of a mask. */
const MOST_HEAD_BYTES = 14
/** A longer message is handed on in pieces. */
const MOST_HELD_BYTES = 262_144
/** A piece of a single byte takes a hundred times its size. */
const MOST_HELD_PIECES = 64

/**
 * Reads the messages of one direction of a WebSocket connection (RFC 6455), however its bytes are cut: of clients, masked,
 * or of servers. It holds at most 256 KiB. What breaks the protocol is passed over and noted, and throws nothing.
 */
export class WebSocketReader {
  readonly #target: WebSocketTarget
  #isReading = true
  #isDamaged = false
  /** Where the frames are can't be told any more. */
  #isLost = false
  #closeCode: number | undefined
  readonly #head = Buffer.alloc(MOST_HEAD_BYTES)
  #headBytes = 0
  /** Of the frame whose payload goes by; -1: none does. */
  #opcode = -1
  #isFinal = false
  #bytesLeft = 0
  #mask: Buffer | undefined
  #maskAt = 0
  /** A message has begun that has further frames to come. */
  #isFragmented = false
  /** The message that goes by can be read. */
  #isReadable = false
  #held: Buffer[] = []
  #heldBytes = 0
  #isLong = false
  #control: Buffer[] = []

  constructor(target: WebSocketTarget) {
    this.#target = target
  }

  /** Whether a frame of somebody else's could go here: no frame and no message is under way. */
  get isBetween(): boolean {
    return !this.#isLost && this.#headBytes === 0 && this.#opcode === -1 && !this.#isFragmented
  }

  /** Whether something broke the protocol. */
  get isDamaged(): boolean {
    return this.#isDamaged
  }

  /** What the close frame says, if there was one; 1005 where it says nothing. */
  get closeCode(): number | undefined {
    return this.#closeCode
  }

  /** Follows frames from now on, and hands on no message any more. */
  stopReading(): void {
    this.#isReading = false
    this.#drop()
  }

  /** Takes the next bytes. Returns the index behind the first frame in them after which {@link isBetween} holds, or -1. */
  write(bytes: Buffer): number {
    let boundary = -1
    let at = 0
    while (at < bytes.length && !this.#isLost) {
      if (this.#opcode === -1) {
        at = this.#readHead(bytes, at)
        if (this.#opcode === -1) continue
      } else {
        const end = Math.min(bytes.length, at + this.#bytesLeft)
        this.#take(bytes.subarray(at, end))
        this.#bytesLeft -= end - at
        at = end
      }
      if (this.#bytesLeft > 0) continue
      this.#endFrame()
      if (boundary === -1 && this.isBetween) boundary = at
    }
    return boundary
  }

  /** Reads as much of a frame's head as is there. */
  #readHead(bytes: Buffer, from: number): number {
    let at = from
    while (at < bytes.length && this.#headBytes < this.#headLength()) {
      this.#head[this.#headBytes] = bytes[at]!
      this.#headBytes += 1
      at += 1
    }
    if (this.#headBytes >= this.#headLength()) this.#beginFrame()
    return at
  }

  /** As far as can be told from what is there of it. */
  #headLength(): number {
    if (this.#headBytes < 2) return 2
    const length = this.#head[1]! & 0x7f
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + ((this.#head[1]! & MASKED) === 0 ? 0 : 4)
  }

  #beginFrame(): void {
    const head = this.#head
    const opcode = head[0]! & 0x0f
    const short = head[1]! & 0x7f
    const length = short === 126 ? head.readUInt16BE(2) : short === 127 ? Number(head.readBigUInt64BE(2)) : short
    const isMasked = (head[1]! & MASKED) !== 0
    this.#mask = isMasked ? Buffer.from(head.subarray(this.#headBytes - 4, this.#headBytes)) : undefined
    this.#maskAt = 0
    this.#headBytes = 0
    this.#isFinal = (head[0]! & FINAL) !== 0
    this.#opcode = opcode
    this.#bytesLeft = length
    const isControl = opcode >= CLOSE
    const isWrong =
      (head[0]! & RESERVED) !== 0 ||
      (opcode > BINARY && !isControl) ||
      opcode > PONG ||
      (isControl ? length > MOST_CONTROL_BYTES || !this.#isFinal : (opcode === CONTINUATION) !== this.#isFragmented)
    if (isWrong) this.#isDamaged = true
    if (!Number.isSafeInteger(length)) {
      this.#isDamaged = true
      this.#isLost = true
      this.#drop()
    }
    if (isControl) return
    if (opcode !== CONTINUATION || isWrong) {
      this.#drop()
      this.#isReadable = !isWrong && this.#isReading
    }
    this.#isFragmented = true
  }

  #take(piece: Buffer): void {
    if (this.#opcode === CLOSE) {
      if (this.#bytesLeft <= MOST_CONTROL_BYTES) this.#control.push(this.#unmasked(piece))
      return
    }
    if (this.#opcode > CLOSE || !this.#isReadable) return
    const plain = this.#unmasked(piece)
    if (this.#isLong) return this.#target.piece(plain, false)
    if (this.#heldBytes + plain.length + this.#rest(piece) > MOST_HELD_BYTES) {
      const first = this.#held.length === 0 ? plain : Buffer.concat([...this.#held, plain])
      this.#held = []
      this.#heldBytes = 0
      this.#isLong = true
      return this.#target.piece(first, false)
    }
    // What is still to come makes it outlive the bytes that it is a part of.
    const isWhole = this.#isFinal && plain.length === this.#bytesLeft
    this.#held.push(isWhole || this.#mask !== undefined ? plain : Buffer.from(plain))
    this.#heldBytes += plain.length
    if (this.#held.length > MOST_HELD_PIECES) this.#held = [Buffer.concat(this.#held)]
  }

  /** Bytes of the frame that are still to come behind a piece of it. */
  #rest(piece: Buffer): number {
    return this.#bytesLeft - piece.length
  }

  #unmasked(piece: Buffer): Buffer {
    const mask = this.#mask
    if (mask === undefined) return piece
    const plain = Buffer.allocUnsafe(piece.length)
    for (let index = 0; index < piece.length; index += 1)
      plain[index] = piece[index]! ^ mask[(this.#maskAt + index) & 3]!
    this.#maskAt = (this.#maskAt + piece.length) & 3
    return plain
  }

  #endFrame(): void {
    const opcode = this.#opcode
    this.#opcode = -1
    if (opcode === CLOSE) return this.#readClose()
    if (opcode > CLOSE || !this.#isFinal) return
    this.#isFragmented = false
    if (!this.#isReadable) return
    this.#isReadable = false
    if (this.#isLong) this.#target.piece(Buffer.alloc(0), true)
    else this.#target.message(this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held))
    this.#drop()
  }

  #readClose(): void {
    const said = Buffer.concat(this.#control)
    this.#control = []
    this.#closeCode ??= said.length >= 2 ? said.readUInt16BE(0) : 1005
  }

  /** Lets go of a message that is under way. */
  #drop(): void {
    if (this.#isLong && this.#isReadable) this.#target.piece(Buffer.alloc(0), true)
    this.#held = []
    this.#heldBytes = 0
    this.#isLong = false
    this.#isReadable = false
  }
}
