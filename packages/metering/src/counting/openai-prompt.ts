import { isRaw, type Raw } from '../usage/reported-usage.ts'
import type { OpenAiTraits } from './openai-traits.ts'
import type { PromptPlanner } from './prompt-plan.ts'
import { toolDefinitions, type ToolDefinition } from './tool-definition.ts'
import { renderTools } from './tool-rendering.ts'

/** What custom tools are introduced with; their grammar is beside it. */
const PER_CUSTOM_TOOL = 150

/** Text of a message: one string, or parts. */
export function contentText(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part) => (isRaw(part) ? textOr(part['text'], textOr(part['refusal'], '')) : textOr(part, '')))
    .join('')
}

/** A call's arguments as the model reads them: JSON without spaces. What is no JSON stays as it is. */
export function compactJson(text: unknown): string {
  if (typeof text !== 'string') return text === undefined ? '' : JSON.stringify(text)
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text
  }
}

export function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise
}

export function rawList(value: unknown): readonly Raw[] {
  return Array.isArray(value) ? value.filter(isRaw) : []
}

/** Plans definitions of tools. */
export function planTools(
  tools: readonly ToolDefinition[],
  traits: OpenAiTraits,
  base: number,
  into: PromptPlanner,
): void {
  const functions = tools.filter(({ format }) => format === '')
  const [first] = functions
  if (first !== undefined) {
    into.text(renderTools(functions, traits.hasOneLiners))
    into.add(base - (traits.isFirstDescribed && first.description === '' ? 1 : 0))
  }
  for (const { name, description, format } of tools) {
    if (format === '') continue
    into.text(`${name}\n${description}\n${format}`)
    into.guess(PER_CUSTOM_TOOL)
  }
}

/** What the large models of the first GPT-5 are told beside tools where the answer has a ceiling. Measured. */
export function perCeiling(body: Raw, traits: OpenAiTraits): number {
  return CEILINGS.some((name) => typeof body[name] === 'number') ? traits.perCeiling : 0
}

const CEILINGS = ['max_output_tokens', 'max_completion_tokens', 'max_tokens'] as const

/** Where there are several tools, a model is told that it must not call two of them at once. */
export function planSerial(
  body: Raw,
  tools: readonly ToolDefinition[],
  traits: OpenAiTraits,
  into: PromptPlanner,
): void {
  if (body['parallel_tool_calls'] === false && tools.length > 1) into.add(traits.perSerial)
}

/** How the answer must look, as the model reads it. Bounds, and which members must be there, are enforced and not told. */
export function formatText(format: Raw): string {
  const description = textOr(format['description'], '')
  const about = description === '' ? '' : `// ${description}\n`
  return `# Response Formats\n\n## ${textOr(format['name'], '')}\n\n${about}${JSON.stringify(told(format['schema'], false))}`
}

const NOT_TOLD: ReadonlySet<string> = new Set([
  'additionalProperties',
  'required',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
])

function told(schema: unknown, areNames: boolean): unknown {
  if (Array.isArray(schema)) return schema.map((each) => told(each, false))
  if (!isRaw(schema)) return schema
  const members = Object.entries(schema).filter(([name]) => areNames || !NOT_TOLD.has(name))
  return Object.fromEntries(
    members.map(([name, value]) => [name, told(value, !areNames && (name === 'properties' || name === '$defs'))]),
  )
}

/** Tools of a request: what it defines, and those that items bring later. */
export function toolsOf(body: Raw): readonly ToolDefinition[] {
  return toolDefinitions(body).tools
}
