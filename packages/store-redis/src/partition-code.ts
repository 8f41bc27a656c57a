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

/** Lua has 200 local variables in a function: so many are left for charges and partitions. */
const MOST_LOCALS = 170
const LOCALS_PER_PARTITION = 15
const MOST_CHARGES = 12
const MOST_PARTITIONS = 4
/** A pattern has 32 captures. */
const NUMBERS_AT_ONCE = 24

/** Whether charges have a shape of which straight lines can say all. */
export function isFast(charges: readonly ShapedCharge[]): boolean {
  if (charges.length === 0 || charges.length > MOST_CHARGES) return false
  const partitions = Math.max(...charges.map(({ partition }) => partition))
  const locals = charges.reduce((sum, charge) => sum + localsOf(charge), partitions * LOCALS_PER_PARTITION)
  if (partitions > MOST_PARTITIONS || locals > MOST_LOCALS) return false
  return charges.every(({ kind, w2 }) => kind !== 'S' || w2 <= 1_000)
}

/** At most: three more where the edges of a window are sent. */
function localsOf({ kind, w1 }: ShapedCharge): number {
  return kind === 'F' && w1 === 0 ? 12 : 9
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
    ...partitions.map((each, index) => {
      const own = charges.filter(({ partition }) => partition === index + 1)
      return readPartition(own, each, index + 1)
    }),
    hasClock
      ? "local now=string.match(ARGV[1],'%S+$')+0"
      : "local T=call('TIME') local now=T[1]*1000+(T[2]-T[2]%1000)/1000",
    ...partitions.map((_each, index) => `if seen${index + 1}>now then now=seen${index + 1} end`),
    ...(isRebuilt ? sameServer(partitions.length, isOneServer) : []),
  ]
}

/** A partition as it is now, with the counters and extras of others as they were. @param listed Length of the open holds. */
export function packedPartition(codes: readonly ChargeCode[], index: number, listed: string): string {
  const [value, at, found] = [`v${index}`, `at${index}`, `found${index}`]
  const [head, format] = [
    `1,flags${index},run${index},now,since${index},due${index},visit${index},${listed}`,
    formatOf(codes),
  ]
  const fields = codes.flatMap((code) => code.fields).join(',')
  const shared = `pack('<BBI4ddddI2',${head})..putRecords(${value},${found},pack('<${format}',${fields}))`
  const alone = `pack('<BBI4ddddI2I2c0${format}',${head},#d${index},d${index},${fields})`
  const rest = `sub(${value},${at}+${bytesOf(codes)})`
  return `${found} and ${shared} or ${alone}..${rest}`
}

/** When the last counter of a packed partition says nothing any more; infinite: never by itself. */
export function lastEnd(codes: readonly ChargeCode[], index: number, packed: string): string {
  const own = ['0', ...codes.flatMap(({ ending }) => (ending === undefined ? [] : [ending]))]
  const others = `lastEnd(${packed},p${index},at${index})`
  return codes.length === 0 ? others : `(p${index}==d${index} and math.max(${own.join(',')}) or ${others})`
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

/** Reads a partition: its head, and the counters of the charges, wherever in it they stand. */
function readPartition(charges: readonly ShapedCharge[], codes: readonly ChargeCode[], index: number): string {
  const names = ['flags', 'run', 'seen', 'since', 'due', 'visit', 'listed', 'p', 'at'].map((name) => `${name}${index}`)
  const [value, lines, found, near] = [`v${index}`, `d${index}`, `found${index}`, `near${index}`]
  const head = [
    `local ${value}=call('GET',${keyOf(index)}) if not ${value} then break end`,
    `local roll${index},${names.join(',')}`,
    `_,${names.join(',')}=unpack_('<BBI4ddddI2I2c0',${value})`,
  ]
  if (codes.length === 0) return head.join('\n')
  const isRebuilt = charges.map((charge) => Number(charge.isRebuilt && charge.kind !== 'C')).join('')
  const [flags, , , , , , , directory, at] = names
  return [
    ...head,
    `local ${lines}=ARGV[${index + 2}] local ${found},${near}`,
    `if p${index}~=${lines} or ${flags}~=0 then`,
    `${found},${near}=findRecords(${value},${flags},${directory},${at},${lines},${bytesOf(codes)},'${isRebuilt}')`,
    `if not ${found} then break end`,
    'end',
    `local ${codes.flatMap((code) => code.fields).join(',')}=unpack_('<${formatOf(codes)}',${near} or ${value},${near} and 1 or ${at})`,
  ].join('\n')
}

function formatOf(codes: readonly ChargeCode[]): string {
  return codes.map((code) => code.format).join('')
}

function bytesOf(codes: readonly ChargeCode[]): number {
  return codes.reduce((sum, code) => sum + code.bytes, 0)
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
