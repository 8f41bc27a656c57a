import type { OutputText } from './output-text.ts'

/** Collects what a model writes under keys, so that interleaved answers don't mix. */
export class OutputCollector {
  readonly #texts = new Map<string, string>()
  readonly #toolCalls = new Map<string, string>()
  readonly #toolNames = new Map<string, string>()

  text(key: string, value: unknown): void {
    if (typeof value === 'string') this.#texts.set(key, (this.#texts.get(key) ?? '') + value)
  }

  /** A call's name, or a piece of its arguments, or both. */
  toolCall(key: string, name: unknown, given?: unknown): void {
    if (typeof name === 'string') this.#toolNames.set(key, (this.#toolNames.get(key) ?? '') + name)
    const written = [name, given]
      .map((part) => (typeof part === 'string' ? part : part === undefined || part === null ? '' : jsonOf(part)))
      .join('')
    this.#toolCalls.set(key, (this.#toolCalls.get(key) ?? '') + written)
  }

  get calls(): number {
    return this.#toolCalls.size
  }

  get output(): OutputText {
    return {
      texts: [...this.#texts.values()],
      toolCalls: [...this.#toolCalls.values()],
      toolNames: [...this.#toolNames.values()],
    }
  }
}

/** Arguments as JSON; nothing of some that are nested too deep for that. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? ''
  } catch {
    return ''
  }
}
