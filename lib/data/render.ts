import { styleText } from 'node:util'
import type { EncodedExample } from './encode.ts'
import { plural } from './options.ts'
import type { Tokenizer } from './types.ts'

export interface RenderOptions {
  /** Colours for a terminal: the prompt dim, the response green. Default false: plain text. */
  color?: boolean
  /** How many tokens of each part to show: the last ones of a prompt, the first ones of a response. Default 200. */
  maxTokens?: number
}

/** A character of UTF-8 has at most four bytes, so at most four byte-level tokens. */
const MAX_TOKENS_PER_CHARACTER = 4
const REPLACEMENT = '\uFFFD'

/**
 * Shows one example as the loss sees it, to be looked at before training: the prompt as text, the response token by
 * token in brackets. Control characters are escaped, so that no data can steer the terminal.
 *
 * ```
 * prompt: 9 tokens, no loss
 *   \n\nHuman: Name a colour.\n\nAssistant:
 * response: 3 tokens, the loss falls on these
 *   [ Blue][.][end of text]
 * ```
 */
export function renderExample(
  { tokens, promptLength }: EncodedExample,
  tokenizer: Tokenizer,
  { color = false, maxTokens = 200 }: RenderOptions = {},
): string {
  const paint = (style: 'dim' | 'green', text: string) =>
    color ? styleText(style, text, { validateStream: false }) : text
  const prompt = tokens.subarray(0, promptLength)
  const response = tokens.subarray(promptLength)
  const promptText = pieces(prompt.subarray(Math.max(0, prompt.length - maxTokens)), tokenizer).join('')
  const responseText = pieces(response.subarray(0, maxTokens), tokenizer)
    .map((piece) => `[${piece}]`)
    .join('')
  const before = prompt.length > maxTokens ? `(${plural(prompt.length - maxTokens, 'token')} before) … ` : ''
  const after = response.length > maxTokens ? ` … (${plural(response.length - maxTokens, 'token')} more)` : ''
  return [
    `prompt: ${plural(prompt.length, 'token')}, no loss`,
    `  ${before}${paint('dim', promptText)}`,
    `response: ${plural(response.length, 'token')}, the loss falls on these`,
    `  ${paint('green', responseText)}${after}`,
  ].join('\n')
}

/** The text of each token; of several together where only they make up a character. */
function pieces(ids: Int32Array, tokenizer: Tokenizer): string[] {
  const texts: string[] = []
  for (let start = 0; start < ids.length; ) {
    if (ids[start] === tokenizer.endOfText) {
      texts.push('end of text')
      start++
      continue
    }
    let end = start + 1
    let text = tokenizer.decode(ids.subarray(start, end))
    while (text.includes(REPLACEMENT) && end < ids.length && end - start < MAX_TOKENS_PER_CHARACTER) {
      end++
      text = tokenizer.decode(ids.subarray(start, end))
    }
    texts.push(escapeControls(text))
    start = end
  }
  return texts
}

function escapeControls(text: string): string {
  return text.replace(/\p{Control}/gu, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
