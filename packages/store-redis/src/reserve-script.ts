import type { Charge, CounterStatus, ReserveReply } from '@tallygate/core'
import type { ShapedCharge } from './charge-shape.ts'
import { chargeCode, type ChargeCode } from './charge-code.ts'
import { LuaScript, luaText } from './lua-script.ts'
import { beginning, byPartition, keyOf, lastEnd, packedPartition, type FastConstants } from './partition-code.ts'
import { statusAt } from './status-figures.ts'

const PLAIN_REFUSED = 10

/**
 * Makes the script of a shape: `reserve.lua` with the shape in it, and before it the ordinary case in straight lines. That
 * is: all counters are there, wherever in their partitions; nothing is due to expire; the id is new. Each number is a local
 * variable, each partition is read and written at once. Whatever is not ordinary is left to the rest, before anything was
 * written.
 */
export function fastReserve(shape: string, charges: readonly ShapedCharge[], constants: FastConstants): LuaScript {
  const text = luaText(
    'reserve',
    `${constants.preamble}\nlocal SHAPE='${shape}'\n--- @include shared\n${fastPart(charges, constants)}`,
  )
  return new LuaScript(text)
}

/** Reads the short reply of the ordinary case. What the node knows by itself is not in it. */
export function plainReply(reply: readonly number[], charges: readonly Charge[]): ReserveReply {
  const nowMs = reply[1]!
  const outcome = reply[0] === PLAIN_REFUSED ? 'refused' : 'granted'
  const statuses: CounterStatus[] = []
  let at = 2
  for (const charge of charges) {
    const isPlain = isPlainCharge(charge)
    const added = outcome === 'granted' ? charge.amount : 0
    statuses.push(isPlain ? plainStatus(charge, reply[at]!, added, nowMs) : statusAt(reply, at))
    at += isPlain ? 1 : 6
  }
  return { outcome, nowMs, statuses }
}

function isPlainCharge({ window, onChange }: Charge): boolean {
  return window.kind === 'fixed' && onChange.quota === 'now' && onChange.duration === 'now'
}

function plainStatus(charge: Charge, used: number, added: number, nowMs: number): CounterStatus {
  const window = charge.window as Charge['window'] & { kind: 'fixed' }
  const isNext = nowMs >= window.endMs
  const endMs = isNext ? window.nextEndMs : window.endMs
  const tripped = isOver(charge, used - added)
  return {
    used,
    quota: charge.quota,
    startMs: isNext ? window.endMs : window.startMs,
    tripped,
    resetAtMs: endMs,
    roomAtMs: !tripped ? nowMs : isOver(charge, 0) ? null : endMs,
  }
}

function isOver({ quota, trip, amount }: Charge, used: number): boolean {
  if (quota === null) return false
  return trip === 'fits' ? used + amount > quota : trip === 'reached' ? used >= quota : used > quota
}

function fastPart(charges: readonly ShapedCharge[], constants: FastConstants): string {
  const codes = charges.map((charge, index) => chargeCode(charge, index + 1))
  const partitions = byPartition(charges, codes)
  const lines = [
    'repeat',
    ...beginning('life', charges, codes, constants),
    `if due1<=now or listed1>=1024 ${constants.isOneServer ? 'or visit1<=now ' : ''}then break end`,
    'local turns',
    ...codes.map(({ view }) => view),
    `if ${refusal(charges)} then`,
    "if call('EXISTS',KEYS[1])==1 then break end",
    `return {${[PLAIN_REFUSED, 'now', ...codes.map(({ figures }) => figures)].join(',')}}`,
    'end',
    // What another owner may refuse is noted as it was before.
    constants.isOneServer ? '' : 'if turns and string.byte(ARGV[2])~=0 then break end',
    'local ends=now+life',
    `if not call('SET',KEYS[1],${holdValue(charges, codes, partitions)}..ARGV[2],'NX') then break end`,
    "local id=sub(KEYS[1],length+3) local open=pack('<I2c0d',#id,id,ends)",
    ...codes.map(({ add }) => add),
    ...partitions.map((each, index) => writePartition(each, index + 1)),
    `return {${[PLAIN_REFUSED + 1, 'now', ...codes.map(({ figures }) => figures)].join(',')}}`,
    'until true',
  ]
  return lines.filter((line) => line !== '').join('\n')
}

/** An AND, and an OR of ANDs. */
function refusal(charges: readonly ShapedCharge[]): string {
  const tripped = (alternative: number): string[] =>
    charges.flatMap((each, index) => (each.alternative === alternative && each.effect === 0 ? [`x${index + 1}`] : []))
  const alternatives = [...new Set(charges.map(({ alternative }) => alternative))].filter((each) => each !== 0)
  const full = alternatives.map((alternative) => `(${tripped(alternative).join(' or ') || 'false'})`)
  return [...tripped(0), ...(full.length === 0 ? [] : [full.join(' and ')])].join(' or ') || 'false'
}

function holdValue(
  charges: readonly ShapedCharge[],
  codes: readonly ChargeCode[],
  partitions: readonly (readonly ChargeCode[])[],
): string {
  let format = '<c1ddB'
  const used = partitions.flatMap((each, index) => (each.length === 0 ? [] : [{ each, index: index + 1 }]))
  const values = ["'h'", 'ends', 'now', String(used.length)]
  for (const { each, index } of used) {
    const expiries = each.map((code) => charges[codes.indexOf(code)]!.expiry).join('')
    format += `I2c0I2c0c${each.length}${'dd'.repeat(each.length)}`
    const key = keyOf(index)
    values.push(`#${key}`, key, `#d${index}`, `d${index}`, `'${expiries}'`)
    values.push(...each.flatMap(({ held }) => held))
  }
  return `pack('${format}',${values.join(',')})`
}

function writePartition(codes: readonly ChargeCode[], index: number): string {
  const key = keyOf(index)
  const earlier = 'if ends<due1 then due1=ends end'
  if (codes.length === 0) {
    if (index !== 1) return ''
    const head = "sub(v1,1,22)..pack('<d',due1)..sub(v1,31,38)..pack('<I2',listed1+#open)"
    return `${earlier}\ncall('SET',home,${head}..sub(v1,41)..open)`
  }
  const value = `new${index}`
  const make = `local ${value}=${packedPartition(codes, index, index === 1 ? 'listed1+#open' : `listed${index}`)}`
  if (index === 1) return `${earlier}\n${make}\ncall('SET',home,new1..open)`
  const stay = `call('SET',${key},${value})`
  if (codes.some(({ ending }) => ending === undefined)) return `${make}\n${stay}`
  return [
    make,
    `if roll${index} then`,
    `local last=${lastEnd(codes, index, value)}`,
    `if last==math.huge then ${stay} else`,
    `call('SET',${key},${value},'PX',math.max(5000,last+(run${index}~=0 and GRACE or 0)-now)) end`,
    `else call('SET',${key},${value},'KEEPTTL') end`,
  ].join('\n')
}
