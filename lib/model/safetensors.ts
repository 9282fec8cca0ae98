import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { PrefgradError } from '../errors.ts'
import { fileError, writeFileAtomic } from '../train/atomic.ts'
import {
  MAX_HEADER_SIZE,
  MAX_SIZE,
  SAFETENSORS_DTYPES,
  type SafetensorsInput,
  type SafetensorsTensor,
} from './safetensors_dtypes.ts'
import { type Header, HeaderError, parseHeader } from './safetensors_header.ts'

export type { SafetensorsDtype, SafetensorsInput, SafetensorsTensor } from './safetensors_dtypes.ts'

/** Tensors by name; a map where names come from outside, since `__proto__` is a name like any other there. */
export type SafetensorsCollection = Readonly<Record<string, SafetensorsInput>> | ReadonlyMap<string, SafetensorsInput>

/** What a safetensors file holds, in the order of its data. */
export interface SafetensorsContent {
  readonly tensors: Map<string, SafetensorsTensor>
  readonly metadata: ReadonlyMap<string, string>
}

const LENGTH_BYTES = 8
const LONGEST_READ = 2 ** 26

/**
 * Writes tensors in the safetensors format, atomically (see `writeFileAtomic`).
 *
 * @param path the file; its folder must exist.
 * @param tensors their `data` must have exactly the product of `shape` elements.
 * @param metadata any strings, stored under `__metadata__`.
 * @throws PrefgradError `ERR_SHAPE`, `ERR_DTYPE` or `ERR_ARGUMENT` for a tensor that cannot be written, `ERR_FILE` when
 * the disk refuses; the old file is then as it was.
 */
export function writeSafetensors(
  path: string,
  tensors: SafetensorsCollection,
  metadata: Readonly<Record<string, string>> = {},
): void {
  writeFileAtomic(path, safetensorsChunks(tensors, metadata))
}

/**
 * The bytes of a safetensors file: header, then each tensor's data without copying. Wider element types come first, else
 * the given order, and the header is padded to a multiple of 8 bytes: so every tensor lies aligned in the file.
 * @throws PrefgradError as {@link writeSafetensors}.
 */
export function safetensorsChunks(
  tensors: SafetensorsCollection,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const named: [string, SafetensorsInput][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  for (const [name, tensor] of named) checkTensor(name, tensor)
  const ordered = named.sort(([, a], [, b]) => SAFETENSORS_DTYPES[b.dtype].bytes - SAFETENSORS_DTYPES[a.dtype].bytes)
  const chunks: Uint8Array[] = []
  const members: string[] = []
  if (Object.keys(metadata).length > 0) members.push(`"__metadata__":${JSON.stringify(metadata)}`)
  let end = 0
  for (const [name, { dtype, shape, data }] of ordered) {
    const begin = end
    end += data.byteLength
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
    chunks.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return [headerBytes(`{${members.join(',')}}`), ...chunks]
}

/**
 * Reads a safetensors file, strictly: the whole header is checked against the file's size before anything of the size
 * it claims is allocated, and whatever the format forbids (a key twice, holes, overlaps, trailing bytes, other numbers
 * than non-negative integers) is refused. Every tensor gets memory of its own.
 *
 * @param source a path, or the bytes of a file.
 * @param onBytes gets all bytes of the file in order, in pieces that never span two tensors; for a checksum.
 * @throws PrefgradError `ERR_FILE` with the offset of the offending byte as `index`.
 */
export function readSafetensors(
  source: string | Uint8Array,
  { onBytes }: { onBytes?: (bytes: Uint8Array) => void } = {},
): SafetensorsContent {
  const file = typeof source === 'string' ? openFile(source) : openBytes(source)
  try {
    const length = new Uint8Array(LENGTH_BYTES)
    if (file.size < LENGTH_BYTES) throw damaged(file, file.size, `it has ${file.size} bytes, too few for a header`)
    file.read(length, 0)
    const headerSize = Number(new DataView(length.buffer).getBigUint64(0, true))
    const dataSize = file.size - LENGTH_BYTES - headerSize
    if (headerSize > MAX_HEADER_SIZE) throw damaged(file, 0, `its header claims ${headerSize} bytes`)
    if (dataSize < 0) throw damaged(file, 0, `its header claims ${headerSize} bytes, the file has ${file.size}`)
    const headerText = new Uint8Array(headerSize)
    file.read(headerText, LENGTH_BYTES)
    const { entries, metadata } = parseOrRefuse(file, headerText, dataSize)
    onBytes?.(length)
    onBytes?.(headerText)
    const tensors = new Map<string, SafetensorsTensor>()
    for (const { name, dtype, shape, begin, end } of entries) {
      const bytes = new Uint8Array(end - begin)
      for (let done = 0; done < bytes.length; done += LONGEST_READ) {
        const piece = bytes.subarray(done, done + LONGEST_READ)
        file.read(piece, LENGTH_BYTES + headerSize + begin + done)
        onBytes?.(piece)
      }
      const data = new SAFETENSORS_DTYPES[dtype].array(bytes.buffer)
      tensors.set(name, { dtype, shape, data } as SafetensorsTensor)
    }
    return { tensors, metadata }
  } finally {
    file.close()
  }
}

interface Source {
  readonly name: string
  readonly size: number
  /** Fills `target` with the bytes from `position` on. */
  read(target: Uint8Array, position: number): void
  close(): void
}

function openBytes(bytes: Uint8Array): Source {
  return {
    name: 'The given buffer',
    size: bytes.length,
    read: (target, position) => target.set(bytes.subarray(position, position + target.length)),
    close: () => {},
  }
}

function openFile(path: string): Source {
  let descriptor: number | undefined
  try {
    // O_NONBLOCK: opening a named pipe must not wait for a writer; it is refused below.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const status = fstatSync(descriptor)
    if (!status.isFile()) throw Object.assign(new Error('it is not a regular file'), { code: '' })
    return fileSource(path, descriptor, status.size)
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor)
    throw fileError(error, 'read', path)
  }
}

function fileSource(path: string, descriptor: number, size: number): Source {
  const source: Source = {
    name: path,
    size,
    read(target, position) {
      let done = 0
      while (done < target.length) {
        const count = readOrRefuse(path, descriptor, target.subarray(done), position + done)
        if (count === 0) throw damaged(source, position + done, 'it was cut short while being read')
        done += count
      }
    },
    close: () => closeSync(descriptor),
  }
  return source
}

function readOrRefuse(path: string, descriptor: number, target: Uint8Array, position: number): number {
  try {
    return readSync(descriptor, target, 0, target.length, position)
  } catch (error) {
    throw fileError(error, 'read', path)
  }
}

function parseOrRefuse(file: Source, text: Uint8Array, dataSize: number): Header {
  try {
    return parseHeader(text, dataSize)
  } catch (error) {
    if (error instanceof HeaderError) throw damaged(file, LENGTH_BYTES + error.position, error.message)
    throw error
  }
}

function damaged(file: Source, offset: number, reason: string): PrefgradError {
  return new PrefgradError('ERR_FILE', `${file.name} is not a valid safetensors file: at byte ${offset}, ${reason}.`, {
    arg: file.name,
    index: offset,
    fix: 'Download or save it again, or restore a copy.',
  })
}

function headerBytes(json: string): Uint8Array {
  const text = new TextEncoder().encode(json)
  const padded = Math.ceil(text.length / 8) * 8
  const fix = 'Store fewer or smaller metadata.'
  if (padded > MAX_HEADER_SIZE) {
    throw new PrefgradError('ERR_SIZE', `The safetensors header would have ${padded} bytes.`, { value: padded, fix })
  }
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true)
  bytes.set(text, LENGTH_BYTES)
  return bytes
}

function checkTensor(name: string, { dtype, shape, data }: SafetensorsInput): void {
  if (name === '__metadata__' || /\p{Surrogate}/u.test(name)) {
    throw new PrefgradError(
      'ERR_ARGUMENT',
      `A tensor cannot be called ${JSON.stringify(name)} in a safetensors file.`,
      {
        arg: name,
        fix: 'Give it another name.',
      },
    )
  }
  const type = SAFETENSORS_DTYPES[dtype]
  if (type === undefined || !(data instanceof type.array)) {
    const found = (data as object | undefined)?.constructor?.name ?? String(data)
    throw new PrefgradError('ERR_DTYPE', `The tensor ${JSON.stringify(name)} is ${dtype} in a ${found}.`, {
      arg: name,
      value: dtype,
      fix: `Give ${type === undefined ? `one of ${Object.keys(SAFETENSORS_DTYPES).join(', ')}` : type.array.name}.`,
    })
  }
  const { length } = data
  const valid = shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)
  const elements = shape.reduce((product, dimension) => product * dimension, 1)
  if (!valid || elements > MAX_SIZE || elements !== length) {
    throw new PrefgradError('ERR_SHAPE', `The tensor ${JSON.stringify(name)} is [${shape}] with ${length} elements.`, {
      arg: name,
      value: shape,
      fix: 'The product of the shape must be the number of elements.',
    })
  }
}
