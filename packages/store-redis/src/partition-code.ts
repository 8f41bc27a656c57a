import type { ChargeCode } from './charge-code.ts'
import type { ShapedCharge } from './charge-shape.ts'

/** What scripts in straight lines go by. */
export interface FastConstants {
  /** Constants of all scripts, as Lua. */
  readonly preamble: string
  /** The time is given, and not that of the server. */
  readonly hasClock: boolean
  readonly isOneServer: boolean
}

/** Lua has 200 local variables in a function; a charge takes up to 13. */
const MOST_CHARGES = 12
const MOST_PARTITIONS = 4
/** A pattern has 32 captures. */
const NUMBERS_AT_ONCE = 24

/** Whether charges have a shape of which straight lines can say all. */
export function isFast(charges: readonly ShapedCharge[]): boolean {
  if (charges.length === 0 || charges.length > MOST_CHARGES) return false
  return charges.every(({ partition, kind, w2 }) => partition <= MOST_PARTITIONS && (kind !== 'S' || w2 <= 1_000))
}

/** The charges of each partition, of the home first. */
export function byPartition(
  charges: readonly ShapedCharge[],
  codes: readonly ChargeCode[],
): readonly (readonly ChargeCode[])[] {
  const last = Math.max(1, ...charges.map(({ partition }) => partition))
  return Array.from({ length: last }, (_, index) => codes.filter((_code, at) => charges[at]!.partition === index + 1))
}

/** Reads numbers, partitions and time, and breaks where another server counts now. */
export function beginning(
  first: string,
  charges: readonly ShapedCharge[],
  codes: readonly ChargeCode[],
  { hasClock, isOneServer }: FastConstants,
): readonly string[] {
  const isRebuilt = charges.some((charge) => charge.isRebuilt)
  const partitions = byPartition(charges, codes)
  return [
    'local call,sub,pack,unpack_=redis.call,string.sub,struct.pack,struct.unpack',
    readNumbers(first, charges, codes),
    ...partitions.map((each, index) => readPartition(each, index + 1, isRebuilt)),
    hasClock
      ? "local now=string.match(ARGV[1],'%S+$')+0"
      : "local T=call('TIME') local now=T[1]*1000+(T[2]-T[2]%1000)/1000",
    ...partitions.map((_each, index) => `if seen${index + 1}>now then now=seen${index + 1} end`),
    ...(isRebuilt ? sameServer(partitions.length, isOneServer) : []),
  ]
}

/** A partition as it is now. @param listed Length of its list of open holds; `open`: the end of that list. */
export function packedPartition(codes: readonly ChargeCode[], index: number, listed: string): string {
  const format = codes.map((code) => code.format).join('')
  const head = `1,flags${index},run${index},now,since${index},due${index},visit${index},${listed},#d${index},d${index}`
  return `pack('<BBI4ddddI2I2c0${format}',${head},${codes.flatMap((code) => code.fields).join(',')})`
}

/**
 * Reads the numbers that are sent; see `lua/includes/charge.lua`.
 *
 * @param first Name of that of the operation.
 */
function readNumbers(first: string, charges: readonly ShapedCharge[], codes: readonly ChargeCode[]): string {
  const amounts = Array.from({ length: Math.max(...charges.map(({ amount }) => amount)) }, (_, at) => `amount${at + 1}`)
  const names = ['run', 'length', first, 'instant', ...amounts, ...codes.flatMap(({ numbers }) => numbers)]
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

/** Name of the Redis key. */
export function keyOf(partition: number): string {
  return partition === 1 ? 'home' : `KEYS[${partition}]`
}

function sameServer(partitions: number, isOneServer: boolean): string[] {
  const salted = "run=(run+tonumber(sub(call('CLUSTER','MYID'),1,8),16))%4294967296"
  const others = Array.from({ length: partitions }, (_, index) => `run${index + 1}~=run`)
  return [...(isOneServer ? [] : [salted]), `if ${others.join(' or ')} then break end`]
}
