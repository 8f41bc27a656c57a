import type { ScriptedAnswer } from './scripted-answer.ts'

const ID = 'msg_scripted00000000000001'

/** Body of a message. Source: Anthropic API reference, Messages. */
export function message(answer: ScriptedAnswer): unknown {
  return {
    ...head(answer),
    content: [{ type: 'text', text: answer.text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: usage(answer, true),
  }
}

/** Events of a message stream: input stated at the start, output cumulative at the end, blanks behind the data. */
export function messageEvents(answer: ScriptedAnswer): string[] {
  const events: { type: string; [member: string]: unknown }[] = [
    {
      type: 'message_start',
      message: { ...head(answer), content: [], stop_reason: null, stop_sequence: null, usage: usage(answer, false) },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...answer.pieces.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      ...(answer.statesUsage ? { usage: usage(answer, true) } : {}),
    },
    { type: 'message_stop' },
  ]
  return events.map((event, index) => {
    const json = JSON.stringify(event)
    return `event: ${event.type}\ndata: ${json.slice(0, -1)}${' '.repeat(index % 5)}}\n\n`
  })
}

/** An error as Anthropic's API says it. */
export function anthropicError(status: number): unknown {
  const type =
    status === 401
      ? 'authentication_error'
      : status === 429
        ? 'rate_limit_error'
        : status === 529
          ? 'overloaded_error'
          : 'api_error'
  return {
    type: 'error',
    error: { type, message: `The scripted provider answers ${status}.` },
    request_id: 'req_scripted0000000001',
  }
}

function head({ model }: ScriptedAnswer): Record<string, unknown> {
  return { id: ID, type: 'message', role: 'assistant', model }
}

/** Input leaves out what came from the cache. */
function usage({ usage: { input, output, cached }, statesUsage }: ScriptedAnswer, isFinal: boolean): unknown {
  if (!statesUsage) return undefined
  return {
    input_tokens: input - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens: isFinal ? output : 1,
    service_tier: 'standard',
  }
}
