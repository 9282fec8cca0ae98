import { isUtf8 } from 'node:buffer'

/** A line of text, or the reason why there is none. Numbers count from 1, blank lines included. */
export type Line = { readonly number: number; readonly terminated: boolean } & (
  | { readonly text: string; readonly reason?: undefined }
  | { readonly reason: string }
)

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a stream of bytes into lines and decodes each as UTF-8. A byte order mark in front of the first line and the
 * carriage return of a CRLF ending are taken off. Holds one unfinished line of at most `maxLineBytes`; of a longer one
 * it holds nothing and reports its number.
 */
export class LineSplitter {
  readonly #maxLineBytes: number
  #number = 0
  #held: Buffer[] = []
  #heldBytes = 0

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes
  }

  /** The lines that `chunk` completes. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      lines.push(this.#finish(chunk.subarray(start, end), true))
      start = end + 1
    }
    this.#hold(chunk.subarray(start))
    return lines
  }

  /** The last line, when the file does not end with a newline. */
  end(): Line[] {
    return this.#heldBytes === 0 ? [] : [this.#finish(NOTHING, false)]
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#heldBytes += bytes.length
    if (this.#heldBytes > this.#maxLineBytes) this.#held = []
    else this.#held.push(bytes)
  }

  #finish(tail: Buffer, terminated: boolean): Line {
    this.#number++
    this.#hold(tail)
    const length = this.#heldBytes
    const bytes = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held)
    this.#held = []
    this.#heldBytes = 0
    const place = { number: this.#number, terminated }
    if (length > this.#maxLineBytes) {
      return { ...place, reason: `is ${length} bytes long, more than the ${this.#maxLineBytes} allowed (maxLineBytes)` }
    }
    return { ...place, ...decode(withoutEnds(bytes, this.#number === 1)) }
  }
}

function withoutEnds(bytes: Buffer, first: boolean): Buffer {
  const start = first && BYTE_ORDER_MARK.every((byte, i) => bytes[i] === byte) ? BYTE_ORDER_MARK.length : 0
  const end = bytes.at(-1) === CARRIAGE_RETURN ? bytes.length - 1 : bytes.length
  return bytes.subarray(start, end)
}

function decode(bytes: Buffer): { text: string } | { reason: string } {
  const text = bytes.toString('utf8')
  if (isUtf8(bytes)) {
    if (text.startsWith('\uFEFF')) return { reason: 'begins with a byte order mark (were files put together?)' }
    return { text }
  }
  // Decoding puts U+FFFD where a byte is wrong, so that encoding the text again differs first at that byte.
  const again = Buffer.from(text, 'utf8')
  return { reason: `invalid UTF-8 at byte ${bytes.findIndex((byte, i) => byte !== again[i])} of the line` }
}
