import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { audioSeconds } from './audio-length.ts'
import { imageSize, type ImageSize } from './image-size.ts'

/** A member of a request that holds, or refers to, a file which the model looks at or listens to. */
export interface Medium {
  readonly holder: Raw
  readonly name: string
}

/** How many tokens the media of a family's models are. Source: the provider's pages on images and audio. */
export interface MediaTokens {
  /** Tokens of an image of a known size, and of one whose size nobody said. */
  readonly image: (size: ImageSize | undefined, isLow: boolean) => number
  /** Tokens of a second of sound; absent where models don't listen, or nobody says. */
  readonly perSecond?: number | undefined
}

/** Tokens of one medium. */
export interface MediumTokens {
  readonly tokens: number
  /** Neither its size nor its length could be told: the figure is what such files usually are. */
  readonly isGuess: boolean
}

/** What a file is taken for that nobody can look into: a page or two. */
const UNKNOWN_FILE = 1_600
const UNKNOWN_SECONDS = 15
/** Headers lie in front; those of JPEG behind pictures and profiles of some kB. */
const HEAD_CHARACTERS = 131_072

const MEMBERS: ReadonlySet<string> = new Set([
  'image_url',
  'input_audio',
  'audio_url',
  'video_url',
  'file_data',
  'file_data_uri',
  'file_id',
  'file_url',
  'inlineData',
  'inline_data',
  'fileData',
])
/** Words that are also said of other things: media only where they hold an object or, in a list, base64. */
const HOLDERS: ReadonlySet<string> = new Set(['image', 'document', 'video', 'audio', 'file'])

/** Whether a member holds an encoded file or a reference to one, not text for the model. */
export function isMedium(name: string, member: unknown): boolean {
  if (MEMBERS.has(name)) return member !== undefined && member !== null
  if (HOLDERS.has(name)) return isRaw(member) && !isText(member['source'])
  if (name === 'images')
    return Array.isArray(member) && member.length > 0 && member.every((each) => typeof each === 'string')
  // Anthropic's documents and search results can be text; everybody else's sources are not.
  return name === 'source' && isRaw(member) && !isText(member)
}

function isText(source: unknown): boolean {
  if (!isRaw(source)) return typeof source === 'string'
  return source['type'] === 'text' || source['type'] === 'content' || typeof source['text'] === 'string'
}

/** Tokens of a medium, from its header where the request holds it. Never throws, decodes no picture. */
export function mediumTokens({ holder, name }: Medium, media: MediaTokens): MediumTokens {
  const member = holder[name]
  const found = dataOf(member)
  const count = name === 'images' && Array.isArray(member) ? member.length : 1
  const kind = kindOf(holder, name, found?.type)
  if (kind === 'audio') return audioTokens(found, media)
  if (kind === 'file') return { tokens: UNKNOWN_FILE, isGuess: true }
  const size = found === undefined ? undefined : imageSize(found.head)
  const isLow = detailOf(holder, member) === 'low'
  return { tokens: count * media.image(size, isLow), isGuess: size === undefined && !isLow }
}

function audioTokens(found: Found | undefined, { perSecond = 10 }: MediaTokens): MediumTokens {
  const seconds = found === undefined ? undefined : audioSeconds(found.head, found.bytes)
  return { tokens: Math.ceil((seconds ?? UNKNOWN_SECONDS) * perSecond), isGuess: seconds === undefined }
}

function kindOf(holder: Raw, name: string, type: string | undefined): 'image' | 'audio' | 'file' {
  const said = `${name} ${type ?? ''} ${typeof holder['type'] === 'string' ? holder['type'] : ''}`
  if (/audio/.test(said)) return 'audio'
  return /image/.test(said) ? 'image' : 'file'
}

function detailOf(holder: Raw, member: unknown): unknown {
  return holder['detail'] ?? (isRaw(member) ? member['detail'] : undefined)
}

interface Found {
  readonly head: Buffer
  readonly bytes: number
  readonly type: string | undefined
}

/** The beginning of an encoded file: in the member itself, or in a member of it. */
function dataOf(member: unknown): Found | undefined {
  const type = isRaw(member) ? (member['mimeType'] ?? member['mime_type'] ?? member['media_type']) : undefined
  const value = Array.isArray(member) ? (member as readonly unknown[])[0] : member
  const source = isRaw(value) && isRaw(value['source']) ? value['source'] : value
  const data = isRaw(source) ? (source['url'] ?? source['data'] ?? source['bytes'] ?? source['file_data']) : source
  if (typeof data !== 'string') return typeof type === 'string' ? { head: Buffer.alloc(0), bytes: 0, type } : undefined
  const url = /^data:([^;,]{0,100})[^,]{0,200},/.exec(data.slice(0, 400))
  // An address of somebody else's server.
  if (url === null && /^[a-z][a-z\d+.-]*:\/\//i.test(data)) return undefined
  const from = url?.[0].length ?? 0
  return {
    head: Buffer.from(data.slice(from, from + HEAD_CHARACTERS), 'base64'),
    bytes: Math.floor(((data.length - from) * 3) / 4),
    type: url?.[1] ?? (typeof type === 'string' ? type : undefined),
  }
}
