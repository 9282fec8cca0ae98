import { MAX_SIZE, SAFETENSORS_DTYPES, type SafetensorsDtype } from './safetensors_dtypes.ts'

/** One tensor of a safetensors header; `begin` and `end` count from the first byte after the header. */
export interface HeaderEntry {
  readonly name: string
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

export interface Header {
  /** In the order of the data, which they cover without hole or overlap. */
  readonly entries: readonly HeaderEntry[]
  readonly metadata: ReadonlyMap<string, string>
}

/** Why a header is refused, and at which byte of the header. */
export class HeaderError extends Error {
  readonly position: number

  constructor(position: number, reason: string) {
    super(reason)
    this.position = position
  }
}

/**
 * Reads the JSON of a safetensors header and checks it against the size of the data. An own parser for just this
 * grammar, since `JSON.parse` drops duplicate keys silently, gives no positions, and lets numbers be anything.
 * Nothing larger than the header is allocated.
 *
 * @param bytes the header's JSON.
 * @param dataSize how many bytes follow the header.
 * @throws HeaderError at the first byte that breaks a rule.
 */
export function parseHeader(bytes: Uint8Array, dataSize: number): Header {
  const scanner = new Scanner(bytes)
  let metadata = new Map<string, string>()
  const tensors: (HeaderEntry & { position: number })[] = []
  scanner.object((name, position) => {
    if (name === '__metadata__') metadata = parseMetadata(scanner)
    else tensors.push({ ...parseTensor(scanner, name, position), position })
  })
  scanner.finish()
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const { name, position, begin, end } of tensors) {
    if (begin > covered) {
      throw new HeaderError(
        position,
        `bytes ${covered} to ${begin} of the data, before ${quote(name)}, belong to no tensor`,
      )
    }
    if (begin < covered) throw new HeaderError(position, `the data of ${quote(name)} overlaps the tensor before it`)
    if (end > dataSize) {
      throw new HeaderError(
        position,
        `${quote(name)} ends at byte ${end} of the data, which has only ${dataSize} bytes`,
      )
    }
    covered = end
  }
  if (covered < dataSize) {
    throw new HeaderError(bytes.length, `the last ${dataSize - covered} bytes of the file belong to no tensor`)
  }
  return { entries: tensors.map(({ position, ...entry }) => entry), metadata }
}

function parseMetadata(scanner: Scanner): Map<string, string> {
  const metadata = new Map<string, string>()
  scanner.object((key) => metadata.set(key, scanner.string()))
  return metadata
}

function parseTensor(scanner: Scanner, name: string, position: number): HeaderEntry {
  let dtype: SafetensorsDtype | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  scanner.object((field, at) => {
    if (field === 'dtype') dtype = parseDtype(scanner, name)
    else if (field === 'shape') shape = scanner.integers()
    else if (field === 'data_offsets') offsets = scanner.integers()
    else throw new HeaderError(at, `${quote(name)} has an unknown field ${quote(field)}`)
  })
  if (dtype === undefined) throw new HeaderError(position, `${quote(name)} has no dtype`)
  if (shape === undefined) throw new HeaderError(position, `${quote(name)} has no shape`)
  if (offsets?.length !== 2) throw new HeaderError(position, `${quote(name)} needs data_offsets with two numbers`)
  const [begin, end] = offsets
  let size = SAFETENSORS_DTYPES[dtype].bytes
  for (const dimension of shape) {
    size *= dimension
    // Below 2^53 every product is exact; one above cannot be made small again by a later 0.
    if (size > MAX_SIZE) throw new HeaderError(position, `the size of ${quote(name)} [${shape}] exceeds 2^53 bytes`)
  }
  if (end - begin !== size) {
    throw new HeaderError(
      position,
      `${quote(name)} is ${dtype} [${shape}], ${size} bytes, but spans ${begin} to ${end}`,
    )
  }
  return { name, dtype, shape, begin, end }
}

function parseDtype(scanner: Scanner, name: string): SafetensorsDtype {
  const position = scanner.position
  const dtype = scanner.string()
  if (Object.hasOwn(SAFETENSORS_DTYPES, dtype)) return dtype as SafetensorsDtype
  const known = Object.keys(SAFETENSORS_DTYPES).join(', ')
  throw new HeaderError(position, `${quote(name)} has the dtype ${quote(dtype)}; known here: ${known}`)
}

const quote = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

const QUOTE = 0x22
const BACKSLASH = 0x5c
const isSpace = (byte: number) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const LONE_SURROGATE = /\p{Surrogate}/u

/** A cursor over JSON text of the few forms that a safetensors header has. */
class Scanner {
  readonly #bytes: Uint8Array
  position = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** An object; `member` gets each key and reads its value. A key may come only once. */
  object(member: (key: string, position: number) => void): void {
    this.#expect('{')
    if (this.#take('}')) return
    const seen = new Set<string>()
    do {
      this.#skipSpace()
      const position = this.position
      const key = this.string()
      if (seen.has(key)) throw new HeaderError(position, `the key ${quote(key)} comes twice`)
      seen.add(key)
      this.#expect(':')
      member(key, position)
    } while (this.#take(','))
    this.#expect('}')
  }

  /** An array of integers from 0 to 2^53 − 1, without sign, fraction or exponent. */
  integers(): number[] {
    const numbers: number[] = []
    this.#expect('[')
    if (this.#take(']')) return numbers
    do numbers.push(this.#integer())
    while (this.#take(','))
    this.#expect(']')
    return numbers
  }

  string(): string {
    this.#skipSpace()
    const start = this.position
    this.#expect('"')
    let end = this.position
    while (end < this.#bytes.length && this.#bytes[end] !== QUOTE) end += this.#bytes[end] === BACKSLASH ? 2 : 1
    if (end >= this.#bytes.length) throw new HeaderError(start, 'a string does not end')
    this.position = end + 1
    let text: string
    try {
      text = JSON.parse(UTF8.decode(this.#bytes.subarray(start, end + 1))) as string
    } catch {
      throw new HeaderError(start, 'a string is not valid UTF-8 and JSON')
    }
    if (LONE_SURROGATE.test(text)) throw new HeaderError(start, 'a string holds half a surrogate pair')
    return text
  }

  finish(): void {
    this.#skipSpace()
    if (this.position < this.#bytes.length) throw new HeaderError(this.position, 'text follows the header object')
  }

  #integer(): number {
    this.#skipSpace()
    const start = this.position
    let value = 0
    for (; this.#isDigit(); this.position++) {
      value = value * 10 + (this.#bytes[this.position] - 0x30)
      if (value > Number.MAX_SAFE_INTEGER) throw new HeaderError(start, 'a number exceeds 2^53 − 1')
    }
    const digits = this.position - start
    if (digits === 0) throw new HeaderError(start, 'an integer of 0 or more must stand here')
    if (digits > 1 && this.#bytes[start] === 0x30) throw new HeaderError(start, 'a number begins with 0')
    return value
  }

  #isDigit(): boolean {
    const byte = this.#bytes[this.position]
    return byte >= 0x30 && byte <= 0x39
  }

  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#bytes[this.position] !== character.charCodeAt(0)) return false
    this.position++
    return true
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw new HeaderError(this.position, `“${character}” must stand here`)
  }

  #skipSpace(): void {
    while (isSpace(this.#bytes[this.position])) this.position++
  }
}
