/** A path without its query and without a fragment, which clients should not send but can. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

/** One segment, or one below `api`: paths that many servers have for something of their own. */
const SHORT = /^\/*(?:api\/+)?[^/:]+\/*$/i

/** Whether a path is so short that it does not tell by itself that a provider is meant. */
export function isShortPath(url: string): boolean {
  return SHORT.test(normalPath(pathOf(url)))
}

/** What a path has that can be written in another way. */
const MORE_SPELLINGS = /%[0-7][0-9a-f]|\/\/|\/\.|\\/i

/** A path as a provider's server may understand it. Taking too many for metered harms nobody: their provider refuses them. */
export function normalPath(path: string): string {
  if (!MORE_SPELLINGS.test(path)) return path
  const decoded = path.replace(/%[0-7][0-9a-f]/gi, (escaped) =>
    String.fromCharCode(Number.parseInt(escaped.slice(1), 16)),
  )
  const url = `http://host${decoded.startsWith('/') ? '' : '/'}${decoded}`
  return URL.canParse(url) ? new URL(url).pathname.replaceAll(/\/{2,}/g, '/') : decoded
}
