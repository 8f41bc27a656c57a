import type { ScriptedAnswer } from './scripted-answer.ts'

/** Body of a generated content. Source: Gemini API reference, GenerateContentResponse. */
export function generatedContent(answer: ScriptedAnswer): unknown {
  return document(answer, answer.text, answer.usage.output, true)
}

/** Documents of a streamed content: each states what was used so far. */
export function streamedContent(answer: ScriptedAnswer): unknown[] {
  const { pieces, usage } = answer
  return pieces.map((text, index) => {
    const isLast = index === pieces.length - 1
    const output = isLast ? usage.output : Math.floor((usage.output * (index + 1)) / pieces.length)
    return document(answer, text, output, isLast)
  })
}

/** An error as Gemini's API says it. */
export function geminiError(status: number): unknown {
  const name = status === 401 ? 'UNAUTHENTICATED' : status === 429 ? 'RESOURCE_EXHAUSTED' : 'INTERNAL'
  return { error: { code: status, message: `The scripted provider answers ${status}.`, status: name } }
}

/** Candidates leave out thoughts. */
function document(
  { model, usage, statesUsage }: ScriptedAnswer,
  text: string,
  output: number,
  isLast: boolean,
): unknown {
  const { input, cached, reasoning } = usage
  return {
    candidates: [
      { content: { parts: [{ text }], role: 'model' }, ...(isLast ? { finishReason: 'STOP' } : {}), index: 0 },
    ],
    ...(statesUsage
      ? {
          usageMetadata: {
            promptTokenCount: input,
            candidatesTokenCount: output - Math.min(reasoning, output),
            totalTokenCount: input + output,
            ...(cached > 0 ? { cachedContentTokenCount: cached } : {}),
            promptTokensDetails: [{ modality: 'TEXT', tokenCount: input }],
            ...(reasoning > 0 ? { thoughtsTokenCount: Math.min(reasoning, output) } : {}),
          },
        }
      : {}),
    modelVersion: model,
    responseId: 'scripted0000000001',
  }
}
