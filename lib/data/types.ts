/**
 * A tokenizer as the data code needs it. The built-in byte-level BPE implements it; any other one that encodes text to
 * ids and back can be plugged in.
 */
export interface Tokenizer {
  /** The ids of `text`, without any special token added. */
  encode(text: string): number[] | Int32Array
  /** The text of `ids`. */
  decode(ids: ArrayLike<number>): string
  /** The id that ends a response, and that stands in front of a text without a prompt. */
  readonly endOfText: number
  readonly vocabularySize: number
}

export type Role = 'system' | 'user' | 'assistant'

/** One turn of a conversation. */
export interface Message {
  role: Role
  content: string
}

/**
 * What an annotator may say in place of a preference: `tie`: equally good (trained as preference ½); `both-bad`:
 * neither is acceptable; `skip`: not judged. The last two hold no preference and are not trained on.
 */
export type Verdict = 'tie' | 'both-bad' | 'skip'

/** Two responses to one prompt, and which of them was preferred. */
export interface PreferencePair {
  /** Text in front of both responses, as the model sees it (see {@link ChatTemplate}). */
  prompt: string
  chosen: string
  rejected: string
  /** Probability in [0, 1] that `chosen` is the better one; absent: 1. */
  preference?: number
  /** By how much the score of `chosen` should be above that of `rejected`, in score units; absent: 0. */
  margin?: number
  /** How much this pair counts in the loss, 0 or more; absent: 1. */
  weight?: number
  annotator?: string
  verdict?: Verdict
  /** Where it stood in its file, from 1; absent for pairs that were not read from one. */
  line?: number
}

/** A text to imitate: the loss falls on `completion` only. */
export interface SftExample {
  /** Empty for a plain text: then the loss falls on all of it. */
  prompt: string
  completion: string
  /** How much this example counts in the loss, 0 or more; absent: 1. */
  weight?: number
  line?: number
}

/** A prompt to answer. */
export interface PromptExample {
  prompt: string
  line?: number
}

/** A piece of plain text, at most a few megabytes long. */
export interface TextPiece {
  text: string
  /** False where this piece continues the document of the piece before. */
  startsDocument: boolean
  /** The line on which the piece begins. */
  line: number
}
