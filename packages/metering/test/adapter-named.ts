import { ADAPTERS, type Adapter } from '@tallygate/metering'

/** A row of the table of providers. */
export function adapterNamed(id: string): Adapter {
  const adapter = ADAPTERS.find((row) => row.id === id)
  if (adapter === undefined) throw new Error(`no adapter ${id}`)
  return adapter
}
