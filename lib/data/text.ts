import { checkText, field, LineError, missing, parseObject } from './fields.ts'
import { checkChoice, checkInteger } from './options.ts'
import type { ReadOptions, RecordParser } from './reader.ts'
import { RecordReader } from './reader.ts'
import type { TextPiece } from './types.ts'

export interface TextOptions extends ReadOptions {
  /**
   * `'text'`: the file is one document. `'jsonl'`: each line is `{ text }`, a document of its own. Default: by the
   * first character that is not blank, `{` or `[` meaning JSONL.
   */
  format?: 'text' | 'jsonl'
  /** A document is cut after a line end once this many UTF-16 units are read. Default 1 Mi. */
  pieceLength?: number
}

const PIECE_LENGTH = 2 ** 20

/**
 * Reads plain text (or JSONL with `{ text }`; plain or gzip) for training a tokenizer or pretraining, in pieces, so
 * that a file of any size is never held at once. Line ends become `\n`, blank lines are kept, a byte order mark is
 * taken off.
 *
 * @throws PrefgradError while it is read: see {@link RecordReader.load}. In a text a line that is a JSON object
 * is a bad line: more likely a damaged JSONL file than prose.
 */
export function readText(path: string, options: TextOptions = {}): RecordReader<TextPiece> {
  return new RecordReader(path, () => new TextParser(options), options)
}

class TextParser implements RecordParser<TextPiece> {
  readonly skipsBlankLines = false
  readonly #pieceLength: number
  #format: 'text' | 'jsonl' | undefined
  #held: string[] = []
  #heldLength = 0
  #heldLine = 1
  #startsDocument = true

  constructor({ format, pieceLength = PIECE_LENGTH }: TextOptions) {
    if (format !== undefined) checkChoice('format', format, ['text', 'jsonl'])
    this.#format = format
    this.#pieceLength = checkInteger('pieceLength', pieceLength, 1)
  }

  line(text: string, number: number, terminated: boolean): TextPiece | undefined {
    this.#format ??= formatOf(text)
    if (this.#format === 'jsonl') return jsonPiece(text, number)
    if (isJsonObject(text)) {
      throw new LineError("is a JSON object in a plain text; read the file with format: 'jsonl' if it is JSONL")
    }
    if (this.#held.length === 0) this.#heldLine = number
    this.#held.push(terminated ? `${text}\n` : text)
    this.#heldLength += text.length + 1
    return this.#heldLength >= this.#pieceLength ? this.end() : undefined
  }

  end(): TextPiece | undefined {
    if (this.#held.length === 0) return undefined
    const text = this.#held.join('')
    if (this.#startsDocument && text.trim() === '') return undefined
    const piece = { text, startsDocument: this.#startsDocument, line: this.#heldLine }
    this.#held = []
    this.#heldLength = 0
    this.#startsDocument = false
    return piece
  }
}

function formatOf(line: string): 'text' | 'jsonl' | undefined {
  const first = line.trimStart()[0]
  return first === undefined ? undefined : first === '{' || first === '[' ? 'jsonl' : 'text'
}

function jsonPiece(line: string, number: number): TextPiece | undefined {
  if (line.trim() === '') return undefined
  const record = parseObject(line)
  const text = field(record, 'text')
  if (text === undefined) throw missing(record, '`text`')
  return { text: checkText(text, 'text'), startsDocument: true, line: number }
}

function isJsonObject(line: string): boolean {
  if (!line.startsWith('{') || !line.endsWith('}')) return false
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}
