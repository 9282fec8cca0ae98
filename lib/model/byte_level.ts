/**
 * The byte-level alphabet of GPT-2 (Radford et al. 2019): each byte has a printable character, so that any text is a
 * string of known symbols and a vocabulary can be kept as readable JSON. Printable bytes stand for themselves, the
 * others for the characters from U+0100 on: a space is “Ġ”.
 */
export const BYTE_SYMBOLS: readonly string[] = byteSymbols()

/** The 256 bytes in the order of their symbols, which is the order of their ids in a new vocabulary. */
export const BYTES_BY_SYMBOL: readonly number[] = BYTE_SYMBOLS.map((_, byte) => byte).sort(
  (a, b) => BYTE_SYMBOLS[a].charCodeAt(0) - BYTE_SYMBOLS[b].charCodeAt(0),
)

const BYTE_OF_SYMBOL = new Map(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]))

/**
 * GPT-2's cut into words, none of which a token may span: English contractions; letters, digits or other signs, each with
 * one space before; white space, less the one space that belongs to the word after it. What is a letter is decided by
 * the Unicode tables of the JavaScript engine; text in scripts added to Unicode since may be cut elsewhere, never lost.
 */
const WORD = new RegExp(
  [
    "'(?:[sdmt]|ll|ve|re)",
    ' ?\\p{L}+',
    ' ?\\p{N}+',
    ' ?[^\\p{White_Space}\\p{L}\\p{N}]+',
    '\\p{White_Space}+(?!\\P{White_Space})',
    '\\p{White_Space}+',
  ].join('|'),
  'gu',
)

/** Calls `visit` with the words of a text, in order; together they are the text. */
export function eachWord(text: string, visit: (word: string) => void): void {
  // A pattern of its own for each text: `visit` may come back here.
  const pattern = new RegExp(WORD)
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) visit(match[0])
}

/** The bytes that a token of the vocabulary stands for, or `undefined` if it holds a character of no byte. */
export function bytesOfSymbols(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_SYMBOL.get(token[i])
    if (byte === undefined) return undefined
    bytes[i] = byte
  }
  return bytes
}

function byteSymbols(): string[] {
  const isPrintable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
}
