import type { ShapedCharge } from './charge-shape.ts'

/** The Lua of one charge, in straight lines; names of its variables end with its number. */
export interface ChargeCode {
  /** Variables that take the numbers sent for it. */
  readonly numbers: readonly string[]
  /** Its record: format of `struct`, variables, length in bytes. */
  readonly format: string
  readonly fields: readonly string[]
  readonly bytes: number
  /** Makes the record that of the instant, and says in `x` whether it has no room. Breaks where it is out of the ordinary. */
  readonly view: string
  readonly add: string
  /** What the reply says of it. */
  readonly figures: string
  /** Bucket and amount, for the hold. */
  readonly held: readonly string[]
  /** When the record says nothing any more; `undefined`: never. */
  readonly ending: string | undefined
}

/** Code of a charge. `index` is from 1. */
export function chargeCode(charge: ShapedCharge, index: number): ChargeCode {
  const code = codeOf(charge, index)
  const own = (text: string): string => withNames(text, charge, index)
  return {
    ...code,
    numbers: code.numbers.filter((name) => charge.quota === undefined || name !== `Q${index}`),
    view: own(code.view),
    add: own(code.add),
    figures: own(code.figures),
    held: code.held.map(own),
  }
}

/** Its amount may be that of another, and its quota in the shape. */
function withNames(text: string, { amount, quota }: ShapedCharge, i: number): string {
  const named = text.replaceAll(new RegExp(`\\ba${i}\\b`, 'g'), `amount${amount}`)
  return quota === undefined ? named : named.replaceAll(new RegExp(`\\bQ${i}\\b`, 'g'), `(${quota})`)
}

function codeOf(charge: ShapedCharge, index: number): ChargeCode {
  switch (charge.kind) {
    case 'F':
      return fixedCode(charge, index)
    case 'S':
      return slidingCode(charge, index)
    case 'U':
      return firstUseCode(charge, index)
    default:
      return endlessCode(charge, index)
  }
}

/** What the kinds with one bucket at a time share. @param names Of the variables. */
function recordCode(i: number, ...names: readonly string[]): Pick<ChargeCode, 'format' | 'fields' | 'bytes' | 'add'> {
  const fields = names.map((name) => `${name}${i}`)
  return { format: 'd'.repeat(fields.length), fields, bytes: 8 * fields.length, add: `u${i}=u${i}+a${i}` }
}

function fixedCode(charge: ShapedCharge, i: number): ChargeCode {
  const { keepsQuota, keepsDuration, w1 } = charge
  const isPlain = !keepsQuota && !keepsDuration
  const begin = `u${i},q${i},s${i},e${i},roll,turns=0,Q${i},S${i},E${i},true,true`
  const view = [
    w1 === 0 ? sentEdges(i) : alignedEdges(i, w1),
    charge.isRebuilt ? `if now>=e${i} and S${i}<since${charge.partition} then break end` : '',
    `if s${i}~=S${i} or now>=e${i} then`,
    keepsDuration ? `if now>=e${i} then ${begin} end` : begin,
    keepsDuration ? 'end' : `elseif e${i}~=E${i} then e${i},roll,turns=E${i},true,true end`,
    keepsQuota ? '' : `if q${i}~=Q${i} then q${i},turns=Q${i},true end`,
    tripped(charge, i, !isPlain, 'q'),
  ]
  return {
    ...recordCode(i, 's', 'e', 'u', 'q'),
    numbers: w1 === 0 ? [`Q${i}`, `w${i}`, `W${i}`, `n${i}`] : [`Q${i}`],
    view: join(view, charge.partition),
    figures: isPlain ? `u${i}` : `u${i},q${i},s${i},0,e${i},now`,
    held: [`s${i}`, `a${i}`],
    ending: `e${i}`,
  }
}

function alignedEdges(i: number, length: number): string {
  return [
    `local S${i}=now-now%${length} local E${i}=S${i}+${length}`,
    `if S${i}~=instant-instant%${length} and S${i}~=instant-instant%${length}+${length} then break end`,
  ].join('\n')
}

function sentEdges(i: number): string {
  return [
    `if now<w${i} or now>=n${i} then break end`,
    `local S${i},E${i}=w${i},W${i} if now>=W${i} then S${i},E${i}=W${i},n${i} end`,
  ].join('\n')
}

function firstUseCode(charge: ShapedCharge, i: number): ChargeCode {
  const { keepsQuota, keepsDuration, w1, w2 } = charge
  const begin = `s${i},e${i},u${i},q${i},roll,turns=now,now+${w1},0,Q${i},true,true`
  const view = [
    // What is over stays over, though a longer duration would reach further.
    `if s${i}==-1${w2 === 1 ? '' : ` or now>=e${i}`} then ${begin} else`,
    keepsDuration ? '' : `if e${i}~=s${i}+${w1} then e${i},roll,turns=s${i}+${w1},true,true end`,
    `if now>=e${i} then ${w2 === 1 ? 'break' : begin} end`,
    'end',
    keepsQuota ? '' : `if q${i}~=Q${i} then q${i},turns=Q${i},true end`,
    tripped(charge, i, true, 'q'),
  ]
  return {
    ...recordCode(i, 's', 'e', 'u', 'q'),
    numbers: [`Q${i}`],
    view: join(view, charge.partition),
    figures: `u${i},q${i},s${i},0,e${i},now`,
    held: [`s${i}`, `a${i}`],
    ending: w2 === 1 ? undefined : `e${i}`,
  }
}

/** Lifetime and concurrent. */
function endlessCode(charge: ShapedCharge, i: number): ChargeCode {
  const view = [
    charge.keepsQuota ? '' : `q${i}=Q${i}`,
    charge.kind === 'L' ? `local L${i}=Q${i} if L${i}>=0 then L${i}=L${i}+t${i} end` : `local L${i}=Q${i}`,
    tripped(charge, i, true, 'L'),
  ]
  return {
    ...recordCode(i, 'u', 'q', ...(charge.kind === 'L' ? ['t'] : [])),
    numbers: [`Q${i}`],
    view: join(view, charge.partition),
    figures: `u${i},L${i},-1,0,-1,now`,
    held: ['0', `a${i}`],
    ending: undefined,
  }
}

function slidingCode(charge: ShapedCharge, i: number): ChargeCode {
  const { w1, w2, isRebuilt } = charge
  const places = w2 + 1
  const emptied = `r${i},u${i},h${i}=string.rep('\\0',${places * 8}),0,b${i}`
  const place = (step: string): string => `unpack_('<d',r${i},(${step}%${places})*8+1)`
  const put = (step: string, amount: string): string =>
    `o=(${step}%${places})*8 r${i}=sub(r${i},1,o)..pack('<d',${amount})..sub(r${i},o+9)`
  const view = [
    `local b${i}=(now-now%${w1})/${w1}`,
    `if b${i}<s${i} then break end`,
    `if b${i}>s${i} then`,
    `roll=true`,
    `if b${i}-s${i}>=${places} then ${isRebuilt ? 'break' : emptied} else`,
    `for step=s${i}+1,b${i} do local was=${place('step')} if was~=0 then local ${put('step', '0')} u${i}=u${i}-was end end`,
    `end`,
    `s${i}=b${i}`,
    `end`,
    `if h${i}<=b${i}-${places} then h${i}=b${i}-${places - 1} end`,
    `while h${i}<b${i} and ${place(`h${i}`)}==0 do h${i}=h${i}+1 end`,
    tripped(charge, i, true, 'Q'),
  ]
  return {
    numbers: [`Q${i}`],
    format: `dddc${places * 8}`,
    fields: [`s${i}`, `u${i}`, `h${i}`, `r${i}`],
    bytes: 24 + places * 8,
    view: join(view, charge.partition),
    add: `do local ${put(`b${i}`, `${place(`b${i}`)}+a${i}`)} end u${i}=u${i}+a${i}`,
    figures: `u${i},Q${i},-1,0,(h${i}+${places})*${w1},now`,
    held: [`b${i}`, `a${i}`],
    ending: `(s${i}+${places})*${w1}`,
  }
}

/** @param quota Name of the variable. */
function tripped({ trip }: ShapedCharge, i: number, isLeftToTheRest: boolean, quota: string): string {
  const over = trip === 0 ? `u${i}+a${i}>${quota}${i}` : trip === 1 ? `u${i}>=${quota}${i}` : `u${i}>${quota}${i}`
  return `local x${i}=${quota}${i}>=0 and ${over}${isLeftToTheRest ? ` if x${i} then break end` : ''}`
}

/** `roll`: the end of the partition is another. `turns`: a bucket begins, or is another than it was. */
function join(lines: readonly string[], partition: number): string {
  return lines
    .filter((line) => line !== '')
    .join('\n')
    .replaceAll(/\broll\b/g, `roll${partition}`)
}
