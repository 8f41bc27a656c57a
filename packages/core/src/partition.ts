import { DEFAULT_TENANT, type Dimensions } from './subject.ts'

/** `tenant=acme,user=7`: always with the tenant, which nothing crosses; an absent dimension has an empty value. */
export function partitionOf(values: Dimensions, per: readonly string[]): string {
  let partition = `tenant=${escaped(values['tenant'])}`
  for (const name of per) {
    if (name !== 'tenant') partition += `,${name}=${Object.hasOwn(values, name) ? escaped(values[name]) : ''}`
  }
  return partition
}

export function tenantOf(partition: string): string {
  const comma = partition.indexOf(',')
  const value = partition.slice('tenant='.length, comma === -1 ? undefined : comma)
  return value === '' ? DEFAULT_TENANT : decodeURIComponent(value)
}

export function hasKey(partition: string, key: string): boolean {
  return partition.split(',').includes(`key=${escaped(key)}`)
}

/** Lone surrogates, which a JSON body can carry, would make `encodeURIComponent` throw. */
function escaped(value = ''): string {
  return encodeURIComponent(value.toWellFormed())
}
