import { DEFAULT_TENANT, UNITS, type BoundLimit, type CompiledPlan, type Dimensions, type Unit } from '@tallygate/core'

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
  /** Units by the names of its plans' counters, without those that count requests: a plan can be gone when a hold expires. */
  readonly units?: Readonly<Record<string, Unit>>
}

/** Stores take 4,096. Only what a host puts into dimensions, and into ids of its own, can make a context so long. */
const MOST_CHARACTERS = 4_000
/** Callers choose the model: what is too long of it goes, and nothing else does. */
const MOST_OF_MODEL = 128

/** Writes a context as a store keeps it: one value a line; dimensions only where there are more than tenant and key. */
export function writeContext(context: Omit<HoldContext, 'units'>, bound: readonly BoundLimit[] = []): string {
  const { tenant, subject, dimensions, callId, provider = '', operation = '', model = '', plans } = context
  let text = `${line(tenant)}\n${line(subject)}\n${line(callId)}\n${provider}\n${operation}\n${line(cut(model))}\n`
  for (const { name, version } of plans) text += `${name}=${version} `
  text += '\n'
  let before: CompiledPlan | undefined
  for (const { plan } of bound) {
    if (plan !== before) text += unitsOf(plan)
    before = plan
  }
  if (!isPlain(dimensions)) text += `\n${JSON.stringify(dimensions)}`
  // A model that a caller cut in the middle of a character must not be what a store stumbles over.
  return text.slice(0, MOST_CHARACTERS).toWellFormed()
}

/** Reads what {@link writeContext} wrote, as far as it goes: a context that was too long has lost its end. */
export function readContext(text: string): HoldContext {
  const lines = text.split('\n')
  const [tenant = '', subject = '', callId = '', provider, operation, model, plans = '', units = '', dimensions] = lines
  const caller = {
    tenant: tenant === '' ? DEFAULT_TENANT : textOf(tenant),
    key: subject === '' ? 'anonymous' : textOf(subject),
  }
  return {
    tenant: caller.tenant,
    subject: caller.key,
    dimensions: dimensionsOf(dimensions) ?? caller,
    callId: textOf(callId),
    provider: wordOf(provider),
    operation: wordOf(operation),
    model: wordOf(model),
    plans: pairsOf(plans).map(([name, version]) => ({ name, version })),
    units: Object.fromEntries(pairsOf(units).flatMap(([name, unit]) => (isUnit(unit) ? [[name, unit]] : []))),
  }
}

const BREAKS = /[\n\\]/
const unitsOfPlans = new WeakMap<CompiledPlan, string>()

/** Worked out once: it is asked for with each call, and plans stay. */
function unitsOf(plan: CompiledPlan): string {
  let text = unitsOfPlans.get(plan)
  if (text === undefined) {
    const others = plan.limits.filter(({ definition }) => definition.unit !== 'requests')
    text = others.map(({ name, definition }) => `${plan.name}/${name}=${definition.unit} `).join('')
    unitsOfPlans.set(plan, text)
  }
  return text
}

function isPlain(dimensions: Dimensions): boolean {
  for (const name in dimensions) if (name !== 'tenant' && name !== 'key') return false
  return true
}

function cut(model: string): string {
  return model.length <= MOST_OF_MODEL ? model : model.slice(0, MOST_OF_MODEL)
}

/** A text that keeps to its line. */
function line(text: string): string {
  if (!BREAKS.test(text)) return text
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function textOf(written: string): string {
  return written.includes('\\') ? written.replace(/\\(.)/g, (_, next) => (next === 'n' ? '\n' : next)) : written
}

function pairsOf(text: string): [string, string][] {
  return text.split(' ').flatMap((pair): [string, string][] => {
    const [name = '', value] = pair.split('=')
    return value === undefined ? [] : [[name, value]]
  })
}

function isUnit(text: string): text is Unit {
  return UNITS.some((unit) => unit === text)
}

function wordOf(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : textOf(text)
}

function dimensionsOf(text: string | undefined): Dimensions | undefined {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Dimensions
  } catch {
    return undefined
  }
}
