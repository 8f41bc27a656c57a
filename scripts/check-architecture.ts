import { existsSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

const SCOPE = '@tallygate/'
/** What only tests, benchmarks and examples may import beside what they test with. */
const TEST_ONLY = 'testkit'

interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/**
 * Holds the arrows of the house against the table in `docs/architecture.md`: what each `package.json` declares, and what
 * each source file imports. What a file imports must also be declared, and what is declared must be imported.
 */
export async function architectureFaults(root: string): Promise<readonly string[]> {
  const allowed = tableOf(await readFile(join(root, 'docs/architecture.md'), 'utf8'))
  const faults: string[] = []
  for await (const file of glob('packages/*/package.json', { cwd: root })) {
    const manifest = JSON.parse(await readFile(join(root, file), 'utf8')) as Manifest
    const name = manifest.name.replace(SCOPE, '')
    const arrows = allowed.get(name)
    if (arrows === undefined) faults.push(`${file}: ${name} has no row in the table of docs/architecture.md`)
    else faults.push(...(await faultsOf(root, name, manifest, arrows)))
  }
  return faults
}

async function faultsOf(root: string, name: string, manifest: Manifest, arrows: Arrows): Promise<readonly string[]> {
  const folder = `packages/${name}`
  const declared = new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }))
  const imported = new Set<string>()
  const faults: string[] = []
  for (const dependency of declared) {
    if (dependency.startsWith(SCOPE) && !arrows.has(dependency.slice(SCOPE.length))) {
      faults.push(`${folder}/package.json: ${name} may not depend on ${dependency}`)
    }
  }
  for await (const file of glob(`${folder}/src/**/*.ts`, { cwd: root })) {
    const depth = relative(`${folder}/src`, file).split('/').length
    if (depth > 2) faults.push(`${file}: more than two levels of folders`)
    for (const specifier of importsOf(await readFile(join(root, file), 'utf8'))) {
      faults.push(...importFaults(file, specifier, name, declared, imported))
    }
  }
  const peers = await peersOf(root, [...declared])
  for (const dependency of declared) {
    if (!imported.has(dependency) && !peers.has(dependency))
      faults.push(`${folder}/package.json: ${dependency} is declared and never imported`)
  }
  for await (const file of glob(`${folder}/{test,bench}/**/*.ts`, { cwd: root })) {
    for (const specifier of importsOf(await readFile(join(root, file), 'utf8'))) {
      if (specifier.startsWith(SCOPE) && specifier.slice(SCOPE.length).includes('/')) {
        faults.push(`${file}: imports ${specifier}: a package is imported by its name alone`)
      }
    }
  }
  if (!existsSync(join(root, folder, 'README.md'))) faults.push(`${folder}: has no README.md`)
  return faults
}

/** What the dependencies want beside them: declared for them, and imported by them. */
async function peersOf(root: string, dependencies: readonly string[]): Promise<ReadonlySet<string>> {
  const peers = new Set<string>()
  for (const dependency of dependencies) {
    const manifest = JSON.parse(
      await readFile(join(root, 'node_modules', dependency, 'package.json'), 'utf8'),
    ) as Manifest
    for (const peer of Object.keys(manifest.peerDependencies ?? {})) peers.add(peer)
  }
  return peers
}

function importFaults(
  file: string,
  specifier: string,
  name: string,
  declared: ReadonlySet<string>,
  imported: Set<string>,
): readonly string[] {
  if (specifier.startsWith('.')) return []
  if (specifier.startsWith('node:'))
    return name === 'core' ? [`${file}: core imports nothing from node:, not ${specifier}`] : []
  const wanted = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  imported.add(wanted)
  if (wanted === `${SCOPE}${TEST_ONLY}`) return [`${file}: only tests and examples import ${wanted}`]
  return declared.has(wanted) ? [] : [`${file}: imports ${wanted}, which package.json does not declare`]
}

/** Every module that a source file names: `import`, `export … from`, `import()`, `require.resolve()` and workers. */
function importsOf(source: string): readonly string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s+'([^']+)'|(?:^|\n)import\s+'([^']+)'|\bimport(?:\.meta\.resolve)?\(\s*'([^']+)'/g
  return [...source.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3]!)
}

interface Arrows {
  has(name: string): boolean
}

/** The rows of the table: | `name` | one sentence | what it may import |. */
function tableOf(page: string): ReadonlyMap<string, Arrows> {
  const rows = page.matchAll(/^\| `([a-z-]+)` \|.*\| ([^|]+) \|$/gm)
  const table = new Map<string, Arrows>()
  for (const [, name, arrows] of rows) {
    const everything = arrows!.trim() === 'everything'
    const names = new Set(arrows!.split(',').map((arrow) => arrow.trim()))
    table.set(name!, { has: (other) => everything || names.has(other) })
  }
  return table
}
