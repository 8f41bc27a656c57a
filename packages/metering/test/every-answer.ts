import { AMAZON_ANSWERS } from './answers-amazon.ts'
import { COMPATIBLE_ANSWERS } from './answers-compatible.ts'
import { GOOGLE_ANSWERS } from './answers-google.ts'
import { OPENAI_ANSWERS } from './answers-openai.ts'
import { OTHER_ANSWERS } from './answers-others.ts'
import type { EndpointAnswer } from './answer-bytes.ts'

/** Answers of every provider, operation and framing, made for these tests after the providers' references. */
export const EVERY_ANSWER: readonly EndpointAnswer[] = [
  ...OPENAI_ANSWERS,
  ...COMPATIBLE_ANSWERS,
  ...GOOGLE_ANSWERS,
  ...AMAZON_ANSWERS,
  ...OTHER_ANSWERS,
]
