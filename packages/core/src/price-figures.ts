import { wholeUnits, type Usage } from './usage.ts'

/** What is charged for, in the order of a {@link Figures}. Time is in milliseconds. */
export const PARTS = [
  'input',
  'cacheRead',
  'cacheWrite',
  'cacheWrite1h',
  'audioInput',
  'imageInput',
  'output',
  'reasoning',
  'audioOutput',
  'imageOutput',
  'time',
  'image',
  'search',
  'call',
] as const
/** One of {@link PARTS}. */
export type Part = (typeof PARTS)[number]

/** Amounts in the order of parts; absent where nobody knows. */
export type Figures = readonly (number | undefined)[]

/** Amounts of parts that don't overlap. A part is no more than is left of its whole, so that nothing is charged twice. */
export function figuresOf(usage: Usage, isTotalOutput: boolean): Figures {
  const { seconds } = usage
  const totalTokens = whole(usage.totalTokens)
  let input = whole(usage.billedInputTokens ?? usage.inputTokens)
  let output = whole(usage.billedOutputTokens ?? usage.outputTokens)
  if (totalTokens !== undefined && (input === undefined || output === undefined)) {
    const known = (input ?? 0) + (output ?? 0)
    const isOutput = input === undefined ? output === undefined && isTotalOutput : true
    if (totalTokens > known || (input === undefined && output === undefined)) {
      if (isOutput) output = Math.max(0, totalTokens - known)
      else input = Math.max(0, totalTokens - known)
    }
  }
  const figures: (number | undefined)[] = [
    input,
    0,
    0,
    0,
    0,
    0,
    output,
    0,
    0,
    0,
    milliseconds(seconds),
    whole(usage.images),
    whole(usage.searches),
    1,
  ]
  const take = (from: number, part: number, amount: number | undefined): void => {
    const left = figures[from]
    if (amount === undefined || left === undefined) return
    const taken = Math.min(wholeUnits(amount), left)
    figures[part] = taken
    figures[from] = left - taken
  }
  if (input === undefined) figures.fill(undefined, 0, OUTPUT)
  if (output === undefined) figures.fill(undefined, OUTPUT, TIME)
  const { cacheWriteTokens, cacheWrite1hTokens: long, cacheWrite5mTokens: short } = usage
  const written =
    cacheWriteTokens ?? (long === undefined && short === undefined ? undefined : (long ?? 0) + (short ?? 0))
  const writtenLong = Math.min(long ?? 0, written ?? 0)
  take(INPUT, 1, usage.cacheReadTokens)
  take(INPUT, 3, writtenLong)
  take(INPUT, 2, written === undefined ? undefined : written - writtenLong)
  take(INPUT, 4, usage.audioInputTokens)
  take(INPUT, 5, usage.imageInputTokens)
  take(OUTPUT, 7, usage.reasoningTokens)
  take(OUTPUT, 8, usage.audioOutputTokens)
  take(OUTPUT, 9, usage.imageOutputTokens)
  return figures
}

const INPUT = 0
const OUTPUT = PARTS.indexOf('output')
export const TIME = PARTS.indexOf('time')
export const NO_FIGURES: Figures = PARTS.map(() => undefined)

function whole(figure: number | undefined): number | undefined {
  return figure === undefined ? undefined : wholeUnits(figure)
}

export function indexOf(part: Part): number {
  return PARTS.indexOf(part)
}

/** To a whole millisecond, so that what is multiplied is whole. */
export function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : wholeUnits(Math.round(seconds * 1_000))
}
