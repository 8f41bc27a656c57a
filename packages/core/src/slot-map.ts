/**
 * A map through which many values pass. V8 keeps what goes into a `Map` and out of it again until the next major
 * collection, as each table that it grew out of still points to the next; here the map holds numbers only, and the values
 * stand in an array. Iterates in the order of insertion.
 */
export class SlotMap<V> {
  readonly #slots = new Map<string, number>()
  readonly #values: (V | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#slots.size
  }

  get(key: string): V | undefined {
    const slot = this.#slots.get(key)
    return slot === undefined ? undefined : this.#values[slot]
  }

  has(key: string): boolean {
    return this.#slots.has(key)
  }

  set(key: string, value: V): void {
    const known = this.#slots.get(key)
    const slot = known ?? this.#free.pop() ?? this.#values.length
    if (known === undefined) this.#slots.set(key, slot)
    this.#values[slot] = value
  }

  delete(key: string): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    this.#slots.delete(key)
    this.#values[slot] = undefined
    this.#free.push(slot)
  }

  /** What was set first, of what is still there. */
  first(): { readonly key: string; readonly value: V } | undefined {
    const { done, value: slot } = this.#slots.entries().next()
    return done === true ? undefined : { key: slot[0], value: this.#values[slot[1]]! }
  }

  *[Symbol.iterator](): Generator<[key: string, value: V]> {
    for (const [key, slot] of this.#slots) yield [key, this.#values[slot]!]
  }
}
