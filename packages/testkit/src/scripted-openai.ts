import type { ScriptedAnswer } from './scripted-answer.ts'

const CREATED = 1_768_478_400
const ID = 'scripted0000000000000001'

/** Body of a chat completion. Source: OpenAI API reference, chat completion object. */
export function chatCompletion({ model, text, usage, statesUsage }: ScriptedAnswer): unknown {
  return {
    id: `chatcmpl-${ID}`,
    object: 'chat.completion',
    created: CREATED,
    model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: text, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    ...(statesUsage ? { usage: chatUsage(usage) } : {}),
    service_tier: 'default',
    system_fingerprint: 'fp_scripted',
  }
}

/** Events of a chat completion stream; with usage, every other chunk says `"usage":null`, as OpenAI's do. */
export function chatCompletionEvents({ model, pieces, usage, statesUsage, obfuscates }: ScriptedAnswer): string[] {
  const chunk = (delta: unknown, finish: string | null): string =>
    data({
      id: `chatcmpl-${ID}`,
      object: 'chat.completion.chunk',
      created: CREATED,
      model,
      service_tier: 'default',
      system_fingerprint: 'fp_scripted',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      ...(statesUsage ? { usage: null } : {}),
      ...(obfuscates ? { obfuscation: 'aB3dE6g' } : {}),
    })
  const last = {
    id: `chatcmpl-${ID}`,
    object: 'chat.completion.chunk',
    created: CREATED,
    model,
    service_tier: 'default',
    system_fingerprint: 'fp_scripted',
    choices: [],
    usage: chatUsage(usage),
    ...(obfuscates ? { obfuscation: '' } : {}),
  }
  return [
    chunk({ role: 'assistant', content: '', refusal: null }, null),
    ...pieces.map((content) => chunk({ content }, null)),
    chunk({}, 'stop'),
    ...(statesUsage ? [data(last)] : []),
    'data: [DONE]\n\n',
  ]
}

/** Body of a response. Source: OpenAI API reference, response object. */
export function response(
  answer: ScriptedAnswer,
  status: 'completed' | 'in_progress' = 'completed',
): Record<string, unknown> {
  const { model, text, usage, statesUsage } = answer
  const isCompleted = status === 'completed'
  return {
    id: `resp_${ID}`,
    object: 'response',
    created_at: CREATED,
    status,
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model,
    output: isCompleted ? [message(text)] : [],
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: true,
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    truncation: 'disabled',
    usage: isCompleted && statesUsage ? responseUsage(usage) : null,
    user: null,
    metadata: {},
  }
}

/** Events of a response stream. */
export function responseEvents(answer: ScriptedAnswer): string[] {
  const place = { item_id: `msg_${ID}`, output_index: 0, content_index: 0 }
  const part = { type: 'output_text', text: answer.text, annotations: [], logprobs: [] }
  const events: { type: string; [member: string]: unknown }[] = [
    { type: 'response.created', response: response(answer, 'in_progress') },
    { type: 'response.in_progress', response: response(answer, 'in_progress') },
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...message(''), status: 'in_progress', content: [] },
    },
    { type: 'response.content_part.added', ...place, part: { ...part, text: '' } },
    ...answer.pieces.map((delta) => ({ type: 'response.output_text.delta', ...place, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...place, text: answer.text, logprobs: [] },
    { type: 'response.content_part.done', ...place, part },
    { type: 'response.output_item.done', output_index: 0, item: message(answer.text) },
    { type: 'response.completed', response: response(answer) },
  ]
  return events.map(({ type, ...rest }, index) => `event: ${type}\n${data({ type, sequence_number: index, ...rest })}`)
}

const ERRORS: Readonly<Record<number, readonly [type: string, code: string]>> = {
  401: ['invalid_request_error', 'invalid_api_key'],
  429: ['requests', 'rate_limit_exceeded'],
}

/** An error as OpenAI's API says it. */
export function openAiError(status: number): unknown {
  const [type, code] = ERRORS[status] ?? ['server_error', null]
  return { error: { message: `The scripted provider answers ${status}.`, type, param: null, code } }
}

function message(text: string): Record<string, unknown> {
  const content = [{ type: 'output_text', annotations: [], logprobs: [], text }]
  return { id: `msg_${ID}`, type: 'message', status: 'completed', content, role: 'assistant' }
}

function chatUsage({ input, output, cached, reasoning }: ScriptedAnswer['usage']): unknown {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

function responseUsage({ input, output, cached, reasoning }: ScriptedAnswer['usage']): unknown {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  }
}

function data(document: unknown): string {
  return `data: ${JSON.stringify(document)}\n\n`
}
