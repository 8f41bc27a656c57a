import { chargeCode } from './charge-code.ts'
import type { ShapedCharge } from './charge-shape.ts'
import { LuaScript, luaText } from './lua-script.ts'
import { beginning, byPartition, keyOf, lastEnd, packedPartition, type FastConstants } from './partition-code.ts'

/** So long is an id at least that can't be taken for part of something else in the list of open holds. */
const LEAST_ID = 8

/**
 * Makes the script for settlements of charges of one shape: `settle.lua` with the shape in it, and before it the ordinary
 * case in straight lines. That is: the hold is open and is about these charges, which are of one partition; it stands in
 * the home's list; an excess goes to the bucket that is current. Whatever is not ordinary is left to the rest.
 */
export function fastSettle(shape: string, charges: readonly ShapedCharge[], constants: FastConstants): LuaScript {
  const preamble = `${constants.preamble}\nlocal SHAPE='${shape}'`
  const isOrdinary = new Set(charges.map(({ partition }) => partition)).size === 1
  return new LuaScript(
    luaText('settle', isOrdinary ? `${preamble}\n--- @include shared\n${fastPart(charges, constants)}` : preamble),
  )
}

function fastPart(charges: readonly ShapedCharge[], constants: FastConstants): string {
  const codes = charges.map((charge, index) => chargeCode(charge, index + 1))
  const at = charges[0]!.partition
  const lines = [
    'repeat',
    ...beginning('at_', charges, codes, constants),
    'if due1<=now then break end',
    ...readHold(charges, at),
    ...unlisted(),
    ...charges.map((charge, index) => settleCode(charge, index + 1)),
    "call('SET',KEYS[1],'s','PX',CLOSED_FOR)",
    ...(at === 1 ? [] : [writeHome()]),
    writePartition(charges, at),
    'return 1',
    'until true',
  ]
  return lines.filter((line) => line !== '').join('\n')
}

/** Breaks where the hold is not open, is about something else, or other owners hold something for it. */
function readHold(charges: readonly ShapedCharge[], at: number): readonly string[] {
  const key = keyOf(at)
  const expiries = charges.map(({ expiry }) => expiry).join('')
  const held = charges.map((_charge, index) => `hb${index + 1},ha${index + 1}`).join(',')
  return [
    "local hold=call('GET',KEYS[1])",
    `local is=pack('<BI2c0I2c0',1,#${key},${key},#d${at},d${at})..'${expiries}'`,
    "if not hold or sub(hold,1,1)~='h' or sub(hold,18,17+#is)~=is then break end",
    `if string.byte(hold,18+#is+${16 * charges.length})~=0 then break end`,
    `local ${held}=unpack_('<${'dd'.repeat(charges.length)}',hold,18+#is)`,
  ]
}

/** Takes the hold off the list of open ones. */
function unlisted(): readonly string[] {
  return [
    'local id=sub(KEYS[1],length+3) if listed1==0 then break end',
    "local entry=pack('<I2c0',#id,id) local open=sub(v1,-listed1)",
    'local from,to=string.find(open,entry,1,true) if not from then break end',
    `if #id<${LEAST_ID} then`,
    "local begins=1 while begins<from do begins=begins+10+unpack_('<I2',open,begins) end",
    'if begins~=from then break end',
    'end',
    'open=sub(open,1,from-1)..sub(open,to+9)',
  ]
}

function settleCode(charge: ShapedCharge, i: number): string {
  const amount = `amount${charge.amount}`
  const less = `${amount}<ha${i}`
  switch (charge.kind) {
    case 'C':
      return `u${i}=math.max(0,u${i}-ha${i})`
    case 'L':
      return `if ${less} then u${i}=math.max(0,u${i}-ha${i}+${amount}) elseif ${amount}>ha${i} then ${addTo(charge, i)} end`
    case 'S':
      return slidingCode(charge, i, amount)
    default: {
      // Nobody vouches for one that is over: it is looked at as if it had never been.
      const over = charge.kind === 'F' && charge.isRebuilt ? `if now>=e${i} then break end\n` : ''
      const back = `if s${i}==hb${i} and at_<e${i} then u${i}=math.max(0,u${i}-ha${i}+${amount}) end`
      return `${over}if ${less} then ${back} elseif ${amount}>ha${i} then\n${excessCode(charge, i)}\n${addTo(charge, i)}\nend`
    }
  }
}

/** Breaks where the bucket of the instant is another than the record's. */
function excessCode(charge: ShapedCharge, i: number): string {
  const { kind, w1, keepsDuration } = charge
  if (kind === 'U') {
    const ends = keepsDuration ? `e${i}` : `s${i}+${w1}`
    return `if s${i}==-1 or ${charge.w2 === 1 ? '' : `now>=e${i} or `}at_>=${ends} then break end e${i}=${ends}`
  }
  const edges =
    w1 === 0
      ? `local S,E=w${i},W${i} if at_>=W${i} then S,E=W${i},n${i} end`
      : `local S=instant-instant%${w1} if at_>=S+${w1} then S=S+${w1} end local E=S+${w1}`
  return `${edges} if s${i}~=S then break end${keepsDuration ? '' : ` e${i}=E`}`
}

function addTo({ amount, keepsQuota }: ShapedCharge, i: number): string {
  return `u${i}=u${i}+amount${amount}-ha${i}${keepsQuota ? '' : ` q${i}=Q${i}`}`
}

function slidingCode({ w1, w2, isRebuilt }: ShapedCharge, i: number, amount: string): string {
  const places = w2 + 1
  const put = (left: string): string => `r${i}=sub(r${i},1,o)..pack('<d',${left})..sub(r${i},o+9)`
  return [
    isRebuilt ? `if now>=(s${i}+${places})*${w1} then break end` : '',
    `if ${amount}<ha${i} then`,
    `if hb${i}<=s${i} and hb${i}>s${i}-${places} then`,
    `local o=(hb${i}%${places})*8 local kept=unpack_('<d',r${i},o+1)`,
    `local left=math.max(0,kept-ha${i}+${amount}) if kept>0 then ${put('left')} u${i}=u${i}-kept+left end`,
    'end',
    `elseif ${amount}>ha${i} then`,
    `if (at_-at_%${w1})/${w1}~=s${i} then break end`,
    `local o=(s${i}%${places})*8 ${put(`unpack_('<d',r${i},o+1)+${amount}-ha${i}`)} u${i}=u${i}+${amount}-ha${i}`,
    'end',
  ].join('\n')
}

/** A home with no counter of this call. */
function writeHome(): string {
  const last = `p1=='' and now+ANNOUNCE_EVERY or ${lastEnd([], 1, 'home1')}+(run1~=0 and GRACE or 0)`
  return [
    "local home1=sub(v1,1,38)..pack('<I2',#open)..sub(v1,41,-listed1-1)..open",
    `local last=open=='' and (${last}) or math.huge`,
    writeUntil('home', 'home1'),
  ].join('\n')
}

function writePartition(charges: readonly ShapedCharge[], at: number): string {
  const codes = charges.map((charge, index) => chargeCode(charge, index + 1))
  const own = byPartition(charges, codes)[at - 1]!
  const packed = packedPartition(own, at, at === 1 ? '#open' : `listed${at}`)
  const isEndless = charges.some(({ kind, w2 }) => kind === 'L' || (kind === 'U' && w2 === 1))
  const running = charges.flatMap(({ kind }, index) => (kind === 'C' ? [`u${index + 1}>0`] : []))
  const stays = [...(isEndless ? ['true'] : []), ...(at === 1 ? ["open~=''"] : []), ...running].join(' or ') || 'false'
  return [
    `local new=${at === 1 ? `sub(${packed},1,-listed1-1)..open` : packed}`,
    `local last=(${stays}) and math.huge or ${lastEnd(own, at, 'new')}+(run${at}~=0 and GRACE or 0)`,
    writeUntil(keyOf(at), 'new'),
  ].join('\n')
}

/** Names of variables; `last`: when it says nothing any more. */
function writeUntil(key: string, value: string): string {
  return `if last==math.huge then call('SET',${key},${value}) else call('SET',${key},${value},'PX',math.max(5000,last-now)) end`
}
