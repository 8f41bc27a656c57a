import { readFileSync } from 'node:fs'

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A text with its references replaced, or what is wrong with one of them. */
export type Expansion = { readonly text: string } | { readonly variable: string; readonly message: string }

const NO_REFERENCE = 'use ${NAME} or ${NAME:-default}, or $${ for the characters ${'
const REFERENCE = /\$\$\{|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$\{[^}]*\}?/g

/**
 * Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. As in a shell, the default is for a variable that is
 * not set or empty. A variable that is not set is read from the file that `NAME_FILE` names: one that can't be read is a
 * mistake, and never the default, which may be a demo's secret.
 */
export function expanded(text: string, environment: Environment): Expansion {
  let mistake: Exclude<Expansion, { text: string }> | undefined
  const whole = text.replaceAll(REFERENCE, (reference, name: string | undefined, byDefault: string | undefined) => {
    if (reference === '$${') return '${'
    const value = name === undefined ? { message: NO_REFERENCE } : valueOf(name, byDefault, environment)
    if (typeof value === 'string') return value
    mistake ??= { variable: name ?? reference, message: value.message }
    return ''
  })
  return mistake ?? { text: whole }
}

function valueOf(name: string, byDefault: string | undefined, environment: Environment): string | { message: string } {
  const value = environment[name]
  if (value !== undefined && (value !== '' || byDefault === undefined)) return value
  const file = environment[`${name}_FILE`]
  if (file !== undefined && file !== '') {
    try {
      return readFileSync(file, 'utf8').trim()
    } catch (error) {
      return { message: `${name}_FILE names a file that can't be read: ${(error as Error).message}` }
    }
  }
  return byDefault ?? { message: `the environment has neither ${name} nor ${name}_FILE` }
}
