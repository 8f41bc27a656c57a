#!/usr/bin/env node
// In the repository, and not built: npm links it at `npm ci`, before there is a build.
await import('../dist/cli.js')
