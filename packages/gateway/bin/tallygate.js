#!/usr/bin/env node
// In the repository, and not built: npm links it at `npm ci`, before there is a build. Old versions of Node can run it.
import { readFileSync } from 'node:fs'

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const [, least] = /^>=(.*)$/.exec(engines.node)
const [[major, minor], [leastMajor, leastMinor]] = [process.versions.node, least].map((text) =>
  text.split('.').map(Number),
)
if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  console.error(
    `tallygate takes Node.js ${least} or later, and this is ${process.versions.node}: install that, and run it again`,
  )
  process.exit(1)
}
await import('../dist/cli.js')
