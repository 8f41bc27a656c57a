import { existsSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * Checks the project's pages: relative links lead to files and headings that are there, and each snippet that names its
 * source, in a comment `<!-- examples/…/file.ts#region -->` above it, is that region of that file to the letter.
 */
export async function docsFaults(root: string): Promise<readonly string[]> {
  const faults: string[] = []
  for await (const page of glob('{*.md,{docs,packages,examples}/**/*.md}', {
    cwd: root,
    exclude: (name) => name === 'node_modules',
  })) {
    const text = await readFile(join(root, page), 'utf8')
    faults.push(...(await linkFaults(root, page, text)), ...(await snippetFaults(root, page, text)))
  }
  return faults
}

async function linkFaults(root: string, page: string, text: string): Promise<readonly string[]> {
  const faults: string[] = []
  for (const [, link = '', anchor] of text.matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
    const file = link === '' ? join(root, page) : join(root, dirname(page), link)
    if (!existsSync(file)) faults.push(`${page}: ${link} does not exist`)
    else if (anchor !== undefined && !anchorsOf(await readFile(file, 'utf8')).has(anchor))
      faults.push(`${page}: ${link} has no heading #${anchor}`)
  }
  return faults
}

/** What its headings are reached by, as GitHub makes it of their words. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)
  const words = [...headings].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, ''))
  return new Set(words.map((each) => each.trim().replaceAll(/\s/g, '-')))
}

async function snippetFaults(root: string, page: string, text: string): Promise<readonly string[]> {
  const faults: string[] = []
  for (const [, file, region, snippet] of text.matchAll(/<!-- ([\w./-]+)(?:#([\w-]+))? -->\n+```\w*\n([\s\S]*?)```/g)) {
    const source = await readFile(join(root, file!), 'utf8').catch(() => undefined)
    const wanted = source === undefined ? undefined : regionOf(source, region)
    if (wanted === undefined) faults.push(`${page}: ${file}${region ? `#${region}` : ''} does not exist`)
    else if (wanted !== snippet)
      faults.push(`${page}: the snippet from ${file}${region ? `#${region}` : ''} differs from it`)
  }
  return faults
}

function regionOf(source: string, region: string | undefined): string | undefined {
  if (region === undefined) return source
  const found = new RegExp(`^[ \\t]*(?://|#) ?#region ${region}\\n([\\s\\S]*?)^[ \\t]*(?://|#) ?#endregion`, 'm').exec(
    source,
  )
  return found?.[1]
}
