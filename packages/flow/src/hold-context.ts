import { DEFAULT_TENANT, type Dimensions } from '@tallygate/core'

/** What the entry of a call will need if its process dies before it is settled. */
export interface HoldContext {
  readonly tenant: string
  readonly subject: string
  readonly dimensions: Dimensions
  readonly callId: string
  readonly provider?: string | undefined
  readonly operation?: string | undefined
  readonly model?: string | undefined
  readonly plans: readonly { readonly name: string; readonly version: string }[]
}

const MOST_CONTEXT_CHARACTERS = 1_024

/** Writes a context as a store keeps it: one value a line; dimensions only where there are more than tenant and key. */
export function writeContext(context: HoldContext): string {
  const { tenant, subject, dimensions, callId, provider = '', operation = '', model = '', plans } = context
  let text = `${tenant}\n${subject}\n${callId}\n${provider}\n${operation}\n${oneLine(model)}\n`
  for (const { name, version } of plans) text += `${name}=${version} `
  if (!isPlain(dimensions)) text += `\n${JSON.stringify(dimensions)}`
  // A model that a caller cut in the middle of a character must not be what a store stumbles over.
  return text.slice(0, MOST_CONTEXT_CHARACTERS).toWellFormed()
}

/** Reads what {@link writeContext} wrote, as far as it goes: a context that was too long has lost its end. */
export function readContext(text: string): HoldContext {
  const [tenant = '', subject = '', callId = '', provider, operation, model, plans = '', dimensions] = text.split('\n')
  const caller = { tenant: tenant === '' ? DEFAULT_TENANT : tenant, key: subject === '' ? 'anonymous' : subject }
  return {
    tenant: caller.tenant,
    subject: caller.key,
    dimensions: dimensionsOf(dimensions) ?? caller,
    callId,
    provider: wordOf(provider),
    operation: wordOf(operation),
    model: wordOf(model),
    plans: plans.split(' ').flatMap((plan) => {
      const [name = '', version] = plan.split('=')
      return version === undefined ? [] : [{ name, version }]
    }),
  }
}

function isPlain(dimensions: Dimensions): boolean {
  for (const name in dimensions) if (name !== 'tenant' && name !== 'key') return false
  return true
}

function oneLine(model: string): string {
  return model.includes('\n') ? model.replaceAll('\n', ' ') : model
}

function wordOf(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text
}

function dimensionsOf(text: string | undefined): Dimensions | undefined {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Dimensions
  } catch {
    return undefined
  }
}
