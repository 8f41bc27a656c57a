import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { savedDigits } from './calibrated-prompt.ts'
import { hidesThoughts, outputTokens, outputTokensSoFar, type WrittenTokens } from './output-rule.ts'
import { outputText, type OutputText } from './output-text.ts'
import { planPrompt } from './plan-prompt.ts'
import { Tally, type Tallied } from './tally.ts'
import { tokenFamily, type TokenFamily } from './token-family.ts'
import type { TokenCount, TokenTask } from './token-work.ts'

/**
 * Counts what a task asks for, in the thread that calls it. Throws a SyntaxError or a RangeError for a body that is no
 * JSON, or is nested too deep.
 */
export function countTask(task: TokenTask, deadlineMs: number): TokenCount {
  const family = tokenFamily(task.model)
  // Before the body is looked at, which takes of the time as well.
  const tally = new Tally(family.encoding, deadlineMs)
  switch (task.kind) {
    case 'prompt':
      return countPrompt(task, family, tally)
    case 'text': {
      const { tokens, bound } = countText(textOf(task.body), family, tally)
      return result(tokens, bound, family, tally, { isLowerBound: false, isGuess: false })
    }
    case 'output':
      return countOutput(outputText(task.shape, task.framing, task.body), task, family, tally)
    case 'written':
      return countOutput(writtenOf(textOf(task.body)), task, family, tally)
  }
}

function countPrompt(task: TokenTask & { kind: 'prompt' }, family: TokenFamily, tally: Tally): TokenCount {
  const body: unknown = JSON.parse(textOf(task.body))
  const plan = planPrompt(isRaw(body) ? body : {}, { model: task.model, provider: task.provider })
  let tokens = plan.overhead
  let bound = Math.max(0, plan.overhead)
  for (const { text, factor } of plan.terms) {
    const counted = tally.count(text)
    tokens += counted.tokens * factor
    bound += counted.bound * Math.max(1, factor)
  }
  return result(tokens, bound, family, tally, plan)
}

function countOutput(
  { texts, toolCalls, toolNames = [] }: OutputText,
  task: TokenTask & { kind: 'output' | 'written' },
  family: TokenFamily,
  tally: Tally,
): TokenCount {
  const ofTexts = sum(texts.map((text) => countText(text, family, tally)))
  const ofCalls = sum(toolCalls.map((text) => tally.count(text)))
  const names = sum(toolNames.map((text) => tally.count(text))).tokens
  const request = requestOf(task.request)
  const inAll = ({ from }: { from: keyof Tallied }): number => {
    const written: WrittenTokens = {
      texts: ofTexts[from],
      calls: ofCalls[from],
      names,
      callCount: toolCalls.length,
      argumentCount: toolCalls.reduce((total, call) => total + argumentCount(call), 0),
    }
    if (task.kind === 'output' && task.isCutOff === true) return outputTokensSoFar(written, family)
    return outputTokens(written, family, task.shape, task.model, request)
  }
  const isLowerBound = hidesThoughts(task.model)
  return result(inAll({ from: 'tokens' }), inAll({ from: 'bound' }), family, tally, { isLowerBound, isGuess: false })
}

/** Members at the top of a call's arguments, which follow its name; 0 where they were cut off or are no JSON. */
function argumentCount(call: string): number {
  try {
    const given: unknown = JSON.parse(call.slice(Math.max(0, call.indexOf('{'))))
    return isRaw(given) ? Object.keys(given).length : 0
  } catch {
    return 0
  }
}

/** A text a model wrote, in tokens of its encoding. */
function countText(text: string, family: TokenFamily, tally: Tally): Tallied {
  const counted = tally.count(text)
  const perDigit = family.calibrated?.perDigit ?? 0
  const saved = perDigit === 0 ? 0 : perDigit * savedDigits(text)
  return { tokens: counted.tokens + saved, bound: counted.bound + saved }
}

function result(
  tokens: number,
  bound: number,
  family: TokenFamily,
  { isComplete }: Tally,
  { isLowerBound, isGuess }: { readonly isLowerBound: boolean; readonly isGuess: boolean },
): TokenCount {
  const isSure = isComplete && !isLowerBound && !isGuess
  const isOwn = family.openAi !== undefined && family.isKnown
  const guess = Math.max(0, Math.round(tokens))
  return {
    tokens: guess,
    bound: Math.max(guess, Math.ceil(bound)),
    isComplete,
    confidence: isSure ? (isOwn ? 'high' : 'medium') : 'low',
    isLowerBound,
  }
}

function sum(counts: readonly Tallied[]): Tallied {
  return {
    tokens: counts.reduce((total, { tokens }) => total + tokens, 0),
    bound: counts.reduce((total, { bound }) => total + bound, 0),
  }
}

function writtenOf(json: string): OutputText {
  const value: unknown = JSON.parse(json)
  const strings = (name: string): readonly string[] => {
    const list = isRaw(value) ? value[name] : undefined
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : []
  }
  return { texts: strings('texts'), toolCalls: strings('toolCalls'), toolNames: strings('toolNames') }
}

/** The request of an answer; absent where it can't be read, as the answer can be counted without. */
function requestOf(body: Uint8Array | undefined): Raw | undefined {
  if (body === undefined) return undefined
  try {
    const value: unknown = JSON.parse(textOf(body))
    return isRaw(value) ? value : undefined
  } catch {
    return undefined
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
