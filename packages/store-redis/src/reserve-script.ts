import type { Charge, CounterStatus, ReserveReply } from '@tallygate/core'
import type { ShapedCharge } from './charge-shape.ts'
import { chargeCode, type ChargeCode } from './charge-code.ts'
import { LuaScript, luaText } from './lua-script.ts'
import { statusAt } from './status-figures.ts'

/** The script for decisions on charges of one shape. */
export interface FastReserve {
  readonly script: LuaScript
}

/** Lua has 200 local variables in a function; a charge takes up to 13. */
const MOST_CHARGES = 12
const MOST_PARTITIONS = 4
/** A pattern has 32 captures. */
const NUMBERS_AT_ONCE = 24
const PLAIN_REFUSED = 10

/**
 * Whether charges have a shape for which {@link fastReserve} can say all in straight lines.
 */
export function isFast(charges: readonly ShapedCharge[]): boolean {
  if (charges.length > MOST_CHARGES) return false
  return charges.every(({ partition, kind, w2 }) => partition <= MOST_PARTITIONS && (kind !== 'S' || w2 <= 1_000))
}

/**
 * Makes the script of a shape: `reserve.lua` with the shape in it, and before it the ordinary case in straight lines. That
 * is: all counters are there, in the order of the charges, and none other; nothing is due to expire; the id is new. Each
 * number is a local variable, each partition is read and written at once. Whatever is not ordinary is left to the rest,
 * before anything was written.
 */
export function fastReserve(shape: string, charges: readonly ShapedCharge[], constants: FastConstants): FastReserve {
  const text = luaText('reserve', `${constants.preamble}\nlocal SHAPE='${shape}'\n${fastPart(charges, constants)}`)
  return { script: new LuaScript(text) }
}

export interface FastConstants {
  /** Constants of all scripts, as Lua. */
  readonly preamble: string
  /** The time is given, and not that of the server. */
  readonly hasClock: boolean
  readonly isOneServer: boolean
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

function fastPart(charges: readonly ShapedCharge[], { hasClock, isOneServer }: FastConstants): string {
  const codes = charges.map((charge, index) => chargeCode(charge, index + 1))
  const isRebuilt = charges.some((charge) => charge.isRebuilt)
  const last = Math.max(1, ...charges.map(({ partition }) => partition))
  const partitions = Array.from({ length: last }, (_, index) =>
    codes.filter((_code, at) => charges[at]!.partition === index + 1),
  )
  const lines = [
    'repeat',
    'local call,sub,pack,unpack_=redis.call,string.sub,struct.pack,struct.unpack',
    readNumbers(charges, codes),
    ...partitions.map((each, index) => readPartition(each, index + 1, isRebuilt)),
    hasClock
      ? "local now=string.match(ARGV[1],'%S+$')+0"
      : "local T=call('TIME') local now=T[1]*1000+(T[2]-T[2]%1000)/1000",
    ...partitions.map((_each, index) => `if seen${index + 1}>now then now=seen${index + 1} end`),
    `if due1<=now or listed1>=1024 ${isOneServer ? 'or visit1<=now ' : ''}then break end`,
    ...(isRebuilt ? sameServer(last, isOneServer) : []),
    ...codes.map(({ view }) => view),
    `if ${refusal(charges)} then`,
    "if call('EXISTS',KEYS[1])==1 then break end",
    `return {${[PLAIN_REFUSED, 'now', ...codes.map(({ figures }) => figures)].join(',')}}`,
    'end',
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

function readNumbers(charges: readonly ShapedCharge[], codes: readonly ChargeCode[]): string {
  const amounts = Array.from({ length: Math.max(...charges.map(({ amount }) => amount)) }, (_, at) => `amount${at + 1}`)
  const names = ['run', 'length', 'life', 'instant', ...amounts, ...codes.flatMap(({ numbers }) => numbers)]
  const lines: string[] = [`local ${names.join(',')}`, 'local at=0']
  for (let from = 0; from < names.length; from += NUMBERS_AT_ONCE) {
    const some = names.slice(from, from + NUMBERS_AT_ONCE)
    const pattern = some.map(() => '(%S+)').join(' ')
    lines.push(`_,at,${some.join(',')}=string.find(ARGV[1],'${pattern}',at+1)`)
  }
  const home = "local home=sub(KEYS[1],1,length)..'c:'"
  return `local _\n${lines.join('\n')}\n${names.join(',')}=${names.map((name) => `${name}+0`).join(',')}\n${home}`
}

/** Reads all of a partition at once; of a home without charges, its head. */
function readPartition(codes: readonly ChargeCode[], index: number, isRebuilt: boolean): string {
  const [value, directory] = [`v${index}`, `d${index}`]
  const head = `_,flags${index},run${index},seen${index},since${index},due${index},visit${index},listed${index}`
  const read = `local ${value}=call('GET',${keyOf(index)})`
  const locals = `local flags${index},run${index},seen${index},since${index},due${index},visit${index},listed${index},roll${index}`
  if (codes.length === 0) {
    return `${read}\nif not ${value} then break end\n${locals}\n${head}=unpack_('<BBI4ddddI2',${value})`
  }
  const bytes = codes.reduce((sum, code) => sum + code.bytes, 0)
  const fields = codes.flatMap((code) => code.fields)
  const format = codes.map((code) => code.format).join('')
  return [
    read,
    `local ${directory}=ARGV[${index + 2}]`,
    `if not ${value} then break end`,
    // Open holds and extras go on as they are. Counters of others are left to the rest.
    `local low${index},high${index},least${index},most${index}=string.byte(${value},39,42)`,
    `local longer${index}=#${value}-42-#${directory}-${bytes}-low${index}-high${index}*256`,
    `if least${index}+most${index}*256~=#${directory} then break end`,
    `if longer${index}~=0 and longer${index}~=${codes.length * 17} then break end`,
    locals,
    `local ${fields.join(',')}`,
    `local p${index}`,
    `${head},p${index},${fields.join(',')}=unpack_('<BBI4ddddI2I2c0${format}',${value})`,
    `if p${index}~=${directory} then break end`,
    `if flags${index}${isRebuilt ? '~=0' : '>=2'} then break end`,
  ].join('\n')
}

function keyOf(partition: number): string {
  return partition === 1 ? 'home' : `KEYS[${partition}]`
}

function sameServer(partitions: number, isOneServer: boolean): string[] {
  const salted = "run=(run+tonumber(sub(call('CLUSTER','MYID'),1,8),16))%4294967296"
  const others = Array.from({ length: partitions }, (_, index) => `run${index + 1}~=run`)
  return [...(isOneServer ? [] : [salted]), `if ${others.join(' or ')} then break end`]
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
  const format = codes.map((code) => code.format).join('')
  const head = `1,flags${index},run${index},now,since${index},due${index},visit${index},listed${index}${index === 1 ? '+#open' : ''},#d${index},d${index}`
  const packed = `pack('<BBI4ddddI2I2c0${format}',${head},${codes.flatMap((code) => code.fields).join(',')})`
  const value = `new${index}`
  const make = `local new${index}=${packed} if longer${index}+listed${index}~=0 then new${index}=new${index}..sub(v${index},-longer${index}-listed${index}) end`
  if (index === 1) return `${earlier}\n${make}\ncall('SET',home,new1..open)`
  const endings = codes.map(({ ending }) => ending)
  const write = endings.includes(undefined)
    ? `call('SET',${key},${value})`
    : [
        `if roll${index} then`,
        `call('SET',${key},${value},'PX',math.max(5000,math.max(${endings.join(',')})+(run${index}~=0 and GRACE or 0)-now))`,
        `else call('SET',${key},${value},'KEEPTTL') end`,
      ].join('\n')
  return `${make}\n${write}`
}
