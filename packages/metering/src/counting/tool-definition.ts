import { isRaw, type Raw } from '../usage/reported-usage.ts'

/** A function that a model may call, whatever its provider's spelling. */
export interface ToolDefinition {
  readonly name: string
  readonly description: string
  /** Its JSON schema; absent where it has none. */
  readonly parameters: Raw | undefined
  /** What a custom tool's input must look like, as JSON; empty for functions. */
  readonly format: string
}

/** Definitions of a request's tools, and whether it names some that its provider runs. */
export interface ToolDefinitions {
  readonly tools: readonly ToolDefinition[]
  readonly hasHosted: boolean
}

/** Members under which the spellings of OpenAI, Anthropic, Gemini and Bedrock hold a tool's JSON schema. */
const SCHEMAS = [
  'parameters',
  'input_schema',
  'parametersJsonSchema',
  'parameters_json_schema',
  'inputSchema',
  'parameter_definitions',
] as const

/** The tools that a request defines, in any provider's spelling. */
export function toolDefinitions(body: Raw): ToolDefinitions {
  const config = body['toolConfig'] ?? body['tool_config']
  const listed = [body['tools'], isRaw(config) ? config['tools'] : undefined, body['functions']]
  const tools: ToolDefinition[] = []
  let hasHosted = false
  for (const each of listed.flatMap(list)) {
    const found = definitionsIn(each)
    if (found === undefined) hasHosted ||= isRaw(each) && !('cachePoint' in each)
    else tools.push(...found)
  }
  return { tools, hasHosted }
}

function definitionsIn(tool: unknown): readonly ToolDefinition[] | undefined {
  if (!isRaw(tool)) return undefined
  const declared = tool['functionDeclarations'] ?? tool['function_declarations']
  if (Array.isArray(declared)) return declared.filter(isRaw).map((each) => definition(each))
  const wrapped = tool['function'] ?? tool['toolSpec']
  // A tool that names itself is flat, whatever it wraps besides.
  if (isRaw(wrapped) && typeof tool['name'] !== 'string') return [definition(wrapped)]
  if (isRaw(tool['custom'])) return [custom(tool['custom'])]
  const type = tool['type']
  if (type === 'custom' && SCHEMAS.every((name) => tool[name] === undefined)) return [custom(tool)]
  const isOurs = type === undefined || type === 'function' || type === 'custom'
  return isOurs && typeof tool['name'] === 'string' ? [definition(tool)] : undefined
}

function definition(tool: Raw): ToolDefinition {
  let parameters = SCHEMAS.map((name) => tool[name]).find((value) => value !== undefined)
  if (isRaw(parameters) && isRaw(parameters['json'])) parameters = parameters['json']
  return {
    name: text(tool['name']),
    description: text(tool['description']),
    parameters: isRaw(parameters) ? parameters : undefined,
    format: '',
  }
}

function custom(tool: Raw): ToolDefinition {
  const format = tool['format']
  return {
    name: text(tool['name']),
    description: text(tool['description']),
    parameters: undefined,
    format: format === undefined ? '{}' : JSON.stringify(format),
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
