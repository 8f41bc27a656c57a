import type { Counter } from './counter-store.ts'

const BITS = 12
const MASK = (1 << BITS) - 1
const NOWHERE = -1

/** Rows beside each other. */
interface RowChunk {
  readonly owners: (string | undefined)[]
  /** The first slot of the partition, or the next free row. */
  readonly heads: Int32Array
}

/**
 * The first slot of each partition. Maps hold numbers only (ADR 12), and of strings only those that counters have anyway:
 * a partition under two owners, which no plan makes, is the exception.
 */
export class PartitionRows {
  readonly #rows = new Map<string, number>()
  /** Rows of partitions that another owner has one of too, by both. */
  readonly #others = new Map<string, number>()
  readonly #chunks: RowChunk[] = []
  #made = 0
  #free = NOWHERE
  #cursor: MapIterator<[string, number]> | undefined
  #cursorMap = this.#rows
  #current: readonly [string, number] | undefined
  /** What was looked for last: the counters of one call often have one partition. */
  #lastOwner = ''
  #lastPartition = ''
  #lastRow: number | undefined

  get size(): number {
    return this.#rows.size + this.#others.size
  }

  /** First slot of a counter's partition; -1: there is none. */
  head(counter: Counter): number {
    const row = this.#rowOf(counter)
    return row === undefined ? NOWHERE : this.#chunks[row >>> BITS]!.heads[row & MASK]!
  }

  /** Makes a slot the first of a counter's partition; returns the one that was, or -1. */
  put(counter: Counter, slot: number): number {
    const row = this.#rowOf(counter) ?? this.#add(counter)
    const { heads } = this.#chunks[row >>> BITS]!
    const former = heads[row & MASK]!
    heads[row & MASK] = slot
    return former
  }

  /** First slot of the next partition, round and round; -1 once each time it has passed all. */
  next(): number {
    this.#cursor ??= this.#cursorMap.entries()
    const { done, value } = this.#cursor.next()
    if (done !== true) {
      this.#current = value
      return this.#chunks[value[1] >>> BITS]!.heads[value[1] & MASK]!
    }
    // No cursor is kept while nothing is looked for: it would keep what the map grew out of.
    this.#cursor = undefined
    this.#current = undefined
    const isAll = this.#cursorMap === this.#others || this.#others.size === 0
    this.#cursorMap = isAll ? this.#rows : this.#others
    return isAll ? NOWHERE : this.next()
  }

  /** Removes the partition that {@link next} has returned; returns its first slot. */
  remove(): number {
    const [key, row] = this.#current!
    this.#cursorMap.delete(key)
    this.#lastPartition = this.#lastOwner = ''
    this.#lastRow = undefined
    const { owners, heads } = this.#chunks[row >>> BITS]!
    const head = heads[row & MASK]!
    owners[row & MASK] = undefined
    heads[row & MASK] = this.#free
    this.#free = row
    return head
  }

  #rowOf(counter: Counter): number | undefined {
    const { owner, partition } = counter
    const isLast = this.#lastRow !== undefined && partition === this.#lastPartition && owner === this.#lastOwner
    if (isLast) return this.#lastRow
    const row = this.#find(counter)
    if (row !== undefined) this.#remember(counter, row)
    return row
  }

  #remember({ owner, partition }: Counter, row: number): void {
    this.#lastOwner = owner
    this.#lastPartition = partition
    this.#lastRow = row
  }

  #find(counter: Counter): number | undefined {
    const { owner, partition } = counter
    const row = this.#rows.get(partition)
    if (row === undefined || this.#chunks[row >>> BITS]!.owners[row & MASK] === owner) {
      return row ?? (this.#others.size === 0 ? undefined : this.#others.get(bothOf(counter)))
    }
    return this.#others.get(bothOf(counter))
  }

  #add(counter: Counter): number {
    const { owner, partition } = counter
    let row = this.#free
    if (row === NOWHERE) {
      row = this.#made
      this.#made += 1
      if (row >>> BITS === this.#chunks.length) this.#chunks.push(newChunk())
    } else this.#free = this.#chunks[row >>> BITS]!.heads[row & MASK]!
    const { owners, heads } = this.#chunks[row >>> BITS]!
    owners[row & MASK] = owner
    heads[row & MASK] = NOWHERE
    if (this.#rows.has(partition)) this.#others.set(bothOf(counter), row)
    else this.#rows.set(partition, row)
    this.#remember(counter, row)
    return row
  }
}

function bothOf({ owner, partition }: Counter): string {
  return `${owner.length} ${owner} ${partition}`
}

function newChunk(): RowChunk {
  return { owners: Array.from<string | undefined>({ length: 1 << BITS }), heads: new Int32Array(1 << BITS) }
}
