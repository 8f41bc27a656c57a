import type { ImageSize } from './image-size.ts'
import type { MediaTokens } from './medium.ts'

/** What an image is taken for whose size nobody said: a square of that many pixels a side. */
const USUAL: ImageSize = { width: 1_024, height: 1_024 }

/** Tiles of 512 pixels, after the image was made to fit 2,048, and its shorter side 768. Source: OpenAI, images and vision. */
function tiles(base: number, perTile: number, perSecond?: number): MediaTokens {
  return {
    perSecond,
    image(size = USUAL, isLow) {
      if (isLow) return base
      const fit = Math.min(1, 2_048 / Math.max(size.width, size.height))
      const shrink = Math.min(1, 768 / (Math.min(size.width, size.height) * fit)) * fit
      return base + perTile * Math.ceil((size.width * shrink) / 512) * Math.ceil((size.height * shrink) / 512)
    },
  }
}

/** Patches of 32 pixels, at most 1,536, times a factor of the model's. Source: OpenAI, images and vision. */
function patches(factor: number): MediaTokens {
  const most = 1_536
  return {
    image({ width, height } = USUAL, isLow) {
      if (isLow) return Math.ceil(256 * factor)
      const whole = Math.ceil(width / 32) * Math.ceil(height / 32)
      if (whole <= most) return Math.ceil(whole * factor)
      const shrink = Math.sqrt((32 * 32 * most) / (width * height))
      const across = (width * shrink) / 32
      const down = (height * shrink) / 32
      const exact = shrink * Math.min(Math.floor(across) / across, Math.floor(down) / down)
      const count = Math.ceil(round((width * exact) / 32)) * Math.ceil(round((height * exact) / 32))
      return Math.ceil(Math.min(most, Math.max(1, count)) * factor)
    },
  }
}

/** What was made to come out whole is whole. */
function round(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

/** A token for 750 pixels, after the longer side was made to fit 1,568. Source: Anthropic, vision. */
const CLAUDE: MediaTokens = {
  image({ width, height } = USUAL) {
    const fit = Math.min(1, 1_568 / Math.max(width, height))
    return Math.min(1_600, Math.ceil((width * height * fit * fit) / 750))
  },
}

/** 258 for a small image, and for each tile of 768 pixels of a larger one; 32 for a second of sound. Source: Gemini API, tokens. */
const GEMINI_2: MediaTokens = {
  perSecond: 32,
  image(size) {
    if (size === undefined || (size.width <= 384 && size.height <= 384)) return 258
    return 258 * Math.ceil(size.width / 768) * Math.ceil(size.height / 768)
  },
}

/** 1,120 by default, whatever the size (`media_resolution`). Source: Gemini API, media resolution. */
const GEMINI_3: MediaTokens = { perSecond: 32, image: (_size, isLow) => (isLow ? 280 : 1_120) }

/** Models that nobody documents: a token for 750 pixels is the order of most. */
const OTHERS: MediaTokens = { image: CLAUDE.image, perSecond: 10 }

/** The first row whose pattern a model's name matches counts. */
const RULES: readonly (readonly [RegExp, MediaTokens])[] = [
  [/gpt-5[^/]*-(?:mini)|gpt-4\.1-mini/, patches(1.62)],
  [/gpt-5[^/]*-nano|gpt-4\.1-nano/, patches(2.46)],
  [/o4-mini/, patches(1.72)],
  [/gpt-4o-mini/, tiles(2_833, 5_667)],
  [/gpt-5/, tiles(70, 140)],
  [/(?:^|[/:])o[1-9]/, tiles(75, 150)],
  [/computer-use/, tiles(65, 129)],
  [/gpt-|chatgpt/, tiles(85, 170, 10)],
  [/claude/, CLAUDE],
  [/gemini-(?:1|2)/, GEMINI_2],
  [/gemini|gemma/, GEMINI_3],
]

/** How many tokens images and sounds are for a model. */
export function mediaTokens(model: string | undefined): MediaTokens {
  const name = (model ?? '').toLowerCase()
  return RULES.find(([pattern]) => pattern.test(name))?.[1] ?? OTHERS
}
