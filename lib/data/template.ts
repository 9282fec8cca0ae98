import { LineError } from './fields.ts'
import type { Message } from './types.ts'

/** How messages become text. Plain strings in a data file are never touched by it. */
export interface ChatTemplate {
  /** The text of `messages` up to the place where the assistant's answer begins. */
  prompt(messages: readonly Message[]): string
  /** The text of that answer: what the model has to generate, without an end-of-text token. */
  response(content: string): string
}

const ASSISTANT = '\n\nAssistant:'
const HUMAN = '\n\nHuman:'
const HEADERS = { system: '\n\nSystem:', user: HUMAN, assistant: ASSISTANT }

/**
 * The dialogue form of HH-RLHF (Bai et al. 2022, arXiv:2204.05862): `\n\nHuman: …\n\nAssistant: …`, and
 * `\n\nSystem: …` for a system message. A prompt ends with `\n\nAssistant:`, a response begins with the blank after it,
 * so that a message list and the same dialogue written as text give the same tokens. It has no escapes: a message that
 * itself holds `\n\nHuman:` reads as two turns.
 */
export const dialogueTemplate: ChatTemplate = {
  prompt: (messages) => messages.map(({ role, content }) => `${HEADERS[role]} ${content}`).join('') + ASSISTANT,
  response: (content) => ` ${content}`,
}

/**
 * Splits two dialogues in the `\n\nHuman: … \n\nAssistant: …` form after the last `\n\nAssistant:` of their common
 * beginning: that beginning is the prompt, the two rests are the responses.
 *
 * @throws LineError when they share no assistant turn, or when they part before the last one, so that a response would
 * hold words of the human that the loss must not fall on.
 */
export function splitDialogues(chosen: string, rejected: string): { prompt: string; chosen: string; rejected: string } {
  const shared = commonPrefixLength(chosen, rejected)
  const header = shared < ASSISTANT.length ? -1 : chosen.lastIndexOf(ASSISTANT, shared - ASSISTANT.length)
  if (header === -1) {
    throw new LineError(
      'there is no `prompt`, and `chosen` and `rejected` share no "\\n\\nAssistant:" turn to be split at',
    )
  }
  const end = header + ASSISTANT.length
  const parts = { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) }
  for (const side of ['chosen', 'rejected'] as const) {
    if (parts[side].includes(HUMAN)) {
      throw new LineError(
        `the two dialogues part before their last answer: \`${side}\` goes on with another "\\n\\nHuman:" turn`,
      )
    }
  }
  return parts
}

/**
 * Splits two whole conversations after the messages that they share; what is left must be one assistant message each.
 *
 * @throws LineError otherwise.
 */
export function splitConversations(
  chosen: readonly Message[],
  rejected: readonly Message[],
): { prompt: Message[]; chosen: string; rejected: string } {
  const most = Math.min(chosen.length, rejected.length) - 1
  let shared = 0
  while (shared < most && sameMessage(chosen[shared], rejected[shared])) shared++
  if (shared === 0) throw new LineError('`chosen` and `rejected` share no first message, and there is no `prompt`')
  return {
    prompt: chosen.slice(0, shared),
    chosen: onlyAnswer(chosen.slice(shared), '`chosen`, after what it shares with `rejected`,'),
    rejected: onlyAnswer(rejected.slice(shared), '`rejected`, after what it shares with `chosen`,'),
  }
}

/** The content of a list that must be exactly one assistant message. */
export function onlyAnswer(messages: readonly Message[], what: string): string {
  if (messages.length !== 1 || messages[0].role !== 'assistant') {
    const roles = messages.map(({ role }) => role).join(', ')
    throw new LineError(`${what} must be exactly one assistant message, but is: ${roles || 'empty'}`)
  }
  return messages[0].content
}

/** True when `whole` begins with all of `start`. */
export function beginsWith(whole: readonly Message[], start: readonly Message[]): boolean {
  return whole.length >= start.length && start.every((message, i) => sameMessage(message, whole[i]))
}

function sameMessage(a: Message, b: Message): boolean {
  return a.role === b.role && a.content === b.content
}

function commonPrefixLength(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let shared = 0
  while (shared < length && a.charCodeAt(shared) === b.charCodeAt(shared)) shared++
  return shared
}
