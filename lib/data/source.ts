import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { PrefgradError } from '../errors.ts'

/** The bytes of one data file, decompressed. */
export interface Source {
  /**
   * Iterate once. Reading fails with `ERR_FILE` when the file cannot be read or its gzip data is cut off or corrupt.
   */
  readonly chunks: AsyncIterable<Buffer>
  readonly gzip: boolean
  /** Of the file as it lies on disk; complete once `chunks` has ended. */
  finish(): { sha256: string; bytes: number }
  close(): Promise<void>
}

const HEAD_BYTES = 4

/** First bytes of files that are often mistaken for JSONL, with what to do about them. */
const FOREIGN: readonly (readonly [bytes: readonly number[], what: string, fix: string])[] = [
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed with Zstandard', 'Decompress it first (zstd -d).'],
  [[0x50, 0x4b, 0x03, 0x04], 'a ZIP archive', 'Unpack it first.'],
  [[0x50, 0x41, 0x52, 0x31], 'a Parquet file', 'Export it as JSONL first.'],
  [[0xff, 0xfe], 'UTF-16 text', 'Save it as UTF-8.'],
  [[0xfe, 0xff], 'UTF-16 text', 'Save it as UTF-8.'],
]

/**
 * Opens a file for reading from its start. Gzip is recognised by its first bytes, not by the file's name.
 *
 * @throws PrefgradError `ERR_FILE` when it is missing, a directory, not readable, or of a kind that cannot hold lines.
 */
export async function openSource(path: string): Promise<Source> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  const hash = createHash('sha256')
  let bytes = 0
  async function* raw(): AsyncGenerator<Buffer> {
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      hash.update(chunk)
      bytes += chunk.length
      yield chunk
    }
  }
  const file = raw()
  try {
    const first = await firstChunk(file)
    const foreign = FOREIGN.find(([magic]) => magic.every((byte, i) => first[i] === byte))
    if (foreign !== undefined) {
      throw new PrefgradError('ERR_FILE', `${path} is ${foreign[1]}, not lines of UTF-8.`, {
        arg: path,
        fix: foreign[2],
      })
    }
    const gzip = first[0] === 0x1f && first[1] === 0x8b
    const whole = chain(first, file)
    return {
      chunks: guarded(path, gzip ? gunzipped(whole) : whole),
      gzip,
      finish: () => ({ sha256: hash.copy().digest('hex'), bytes }),
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error instanceof PrefgradError ? error : unreadable(path, error)
  }
}

/** At least the bytes that tell the kind of file, unless it is shorter; a pipe may deliver them one by one. */
async function firstChunk(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < HEAD_BYTES) {
    const { value, done } = await chunks.next()
    if (done) break
    head = Buffer.concat([head, value])
  }
  return head
}

async function* chain(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first
  yield* rest
}

function gunzipped(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const gunzip = createGunzip()
  // Errors of either stream destroy the other; the iteration over `gunzip` throws them.
  pipeline(Readable.from(chunks), gunzip, () => {})
  return gunzip
}

async function* guarded(path: string, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let delivered = 0
  try {
    for await (const chunk of chunks) {
      yield chunk
      delivered += chunk.length
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'Z_BUF_ERROR') {
      throw new PrefgradError('ERR_FILE', `${path} is cut off: its gzip data ends after ${delivered} bytes of text.`, {
        arg: path,
        fix: 'Copy or download the file again.',
        cause,
      })
    }
    if (code?.startsWith('Z_')) {
      const message = `${path} is corrupt after ${delivered} bytes of text (${(cause as Error).message}).`
      throw new PrefgradError('ERR_FILE', message, {
        arg: path,
        fix: 'Copy or download the file again.',
        cause,
      })
    }
    throw unreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown): PrefgradError {
  const { code, message } = cause as NodeJS.ErrnoException
  const known: Record<string, [what: string, fix: string]> = {
    ENOENT: ['does not exist', 'Check the path.'],
    EISDIR: ['is a directory', 'Name a file in it.'],
    EACCES: ['may not be read by this user', 'Change its permissions.'],
  }
  const [what, fix] = known[code ?? ''] ?? [`cannot be read: ${message}`, 'Check the disk and the path.']
  return new PrefgradError('ERR_FILE', `${path} ${what}.`, { arg: path, fix, cause })
}
