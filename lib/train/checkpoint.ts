import { createHash, type Hash } from 'node:crypto'
import { readdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { PrefgradError } from '../errors.ts'
import {
  readSafetensors,
  type SafetensorsCollection,
  type SafetensorsTensor,
  safetensorsChunks,
} from '../model/safetensors.ts'
import { type AtomicFileSystem, fileError, isAbandonedTemporary, makeFolder, writeFileAtomic } from './atomic.ts'
import { exactJson } from './exact_json.ts'

/** What {@link saveCheckpoint} keeps. */
export interface CheckpointContent {
  /** How many optimizer steps are done: 0 to 2^53 − 1. */
  readonly step: number
  /** Parameters, moments and whatever else is an array. */
  readonly tensors: SafetensorsCollection
  /** Everything else (random state, data position, controllers, configuration) as JSON; see {@link exactJson}. */
  readonly state: Readonly<Record<string, unknown>>
}

export interface Checkpoint {
  readonly path: string
  readonly step: number
  readonly tensors: Map<string, SafetensorsTensor>
  readonly state: Record<string, unknown>
}

/** A checkpoint that was passed over, and why. */
export interface SkippedCheckpoint {
  readonly path: string
  readonly reason: string
}

export interface SaveOptions {
  /** How many checkpoints stay, the new one included. Default 2. */
  readonly keep?: number
  /** For tests: the calls that write the file. */
  readonly fileSystem?: AtomicFileSystem
}

const FORMAT = 'prefgrad-checkpoint'
const VERSION = '1'
const DIGEST = 'checkpoint.sha256'
const DIGEST_BYTES = 32
const SUFFIX = '.ckpt.safetensors'

/**
 * Saves everything that a run needs to go on, as the one file `step-00000123.ckpt.safetensors`. It appears under that
 * name only when it is complete and on the disk, so a kill or a power cut at any moment leaves the old checkpoints or
 * the old ones and this one. Its last tensor, `checkpoint.sha256`, is the SHA-256 of every byte before it.
 *
 * Afterwards the oldest checkpoints of earlier steps beyond `keep` are deleted, and what killed processes left behind.
 * Checkpoints of later steps, as another process in the same folder may write, are never touched. The process is
 * blocked until all is written, so the tensors cannot change meanwhile.
 *
 * @param directory made if it is missing.
 * @returns the file's path, once it would survive a power cut.
 * @throws PrefgradError `ERR_FILE` when the disk refuses (the older checkpoints are untouched), `ERR_OPTION`,
 * `ERR_ARGUMENT`, `ERR_SHAPE` or `ERR_DTYPE` for content that could not be restored exactly.
 */
export async function saveCheckpoint(
  directory: string,
  { step, tensors, state }: CheckpointContent,
  { keep = 2, fileSystem }: SaveOptions = {},
): Promise<string> {
  checkCount('step', step, 0)
  checkCount('keep', keep, 1)
  const metadata = { format: FORMAT, version: VERSION, step: String(step), state: exactJson(state, 'state') }
  const chunks = safetensorsChunks(withDigestLast(tensors), metadata)
  makeFolder(directory)
  const path = join(directory, fileName(step))
  writeFileAtomic(path, digested(chunks), { fileSystem })
  prune(directory, step, keep)
  return path
}

/**
 * The newest checkpoint of a folder that verifies. There is no pointer file that could be torn: the folder is listed,
 * and each file is judged by its checksum, newest first.
 *
 * @returns `undefined` when the folder is missing or holds no checkpoint; `skipped` lists newer ones that are damaged.
 * @throws PrefgradError `ERR_CHECKPOINT` when there are checkpoints and none verifies: starting afresh is then the
 * caller's decision, never silent.
 */
export async function loadLatestCheckpoint(
  directory: string,
): Promise<(Checkpoint & { skipped: SkippedCheckpoint[] }) | undefined> {
  const skipped: SkippedCheckpoint[] = []
  for (const step of stepsIn(listNames(directory))) {
    const path = join(directory, fileName(step))
    try {
      const checkpoint = await loadCheckpoint(path)
      if (checkpoint.step === step) return { ...checkpoint, skipped }
      skipped.push({ path, reason: `${path} holds step ${checkpoint.step}: it was renamed.` })
    } catch (error) {
      if (!(error instanceof PrefgradError)) throw error
      skipped.push({ path, reason: error.message })
    }
  }
  if (skipped.length === 0) return undefined
  const reasons = skipped.map(({ reason }) => `\n  ${reason}`).join('')
  throw new PrefgradError('ERR_CHECKPOINT', `No checkpoint in ${directory} can be used:${reasons}\n`, {
    arg: directory,
    fix: 'Restore one from a copy, or start the run again in another folder.',
  })
}

/**
 * Reads one checkpoint and verifies every byte of it.
 * @throws PrefgradError `ERR_FILE` when it is missing, truncated or not in the safetensors format, `ERR_CHECKPOINT`
 * when its checksum is wrong or it is no checkpoint of this version.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const hash = createHash('sha256')
  // The checksum itself comes as the last piece: each piece is hashed when the next one shows that it was not the last.
  let held: Uint8Array = new Uint8Array(0)
  const { tensors, metadata } = readSafetensors(path, {
    onBytes: (bytes) => {
      hash.update(held)
      held = bytes
    },
  })
  if (metadata.get('format') !== FORMAT) throw unusable(path, 'it is a safetensors file, but no checkpoint of prefgrad')
  if (metadata.get('version') !== VERSION) {
    throw unusable(path, `it has the format version ${metadata.get('version')}, this release reads ${VERSION}`)
  }
  const digest = [...tensors.entries()].at(-1)
  if (digest?.[0] !== DIGEST || digest[1].data.byteLength !== DIGEST_BYTES || !hash.digest().equals(held)) {
    throw unusable(path, 'its content does not match its SHA-256: it was damaged after it was written')
  }
  tensors.delete(DIGEST)
  const step = Number(metadata.get('step'))
  const state = parseState(metadata.get('state'))
  if (!Number.isSafeInteger(step) || step < 0 || state === undefined)
    throw unusable(path, 'it holds no step or no state')
  return { path, step, tensors, state }
}

function parseState(text = ''): Record<string, unknown> | undefined {
  try {
    const state: unknown = JSON.parse(text)
    return typeof state === 'object' && state !== null ? (state as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The digest is the narrowest type and given last, so it is the last tensor of the file. */
function withDigestLast(tensors: SafetensorsCollection): SafetensorsCollection {
  const all = new Map(tensors instanceof Map ? tensors : Object.entries(tensors))
  if (all.has(DIGEST)) {
    throw new PrefgradError('ERR_ARGUMENT', `A tensor may not be called ${DIGEST}.`, {
      arg: DIGEST,
      fix: 'Checkpoints keep their checksum there; choose another name.',
    })
  }
  return all.set(DIGEST, { dtype: 'U8', shape: [DIGEST_BYTES], data: new Uint8Array(DIGEST_BYTES) })
}

/** All chunks but the last as they are, then the SHA-256 of them in its place. */
function* digested(chunks: Uint8Array[]): Generator<Uint8Array> {
  const hash = createHash('sha256')
  for (const chunk of chunks.slice(0, -1)) {
    updateInPieces(hash, chunk)
    yield chunk
  }
  yield hash.digest()
}

/** `Hash.update` takes less than 2^31 bytes at once. */
function updateInPieces(hash: Hash, bytes: Uint8Array): void {
  const piece = 2 ** 30
  for (let begin = 0; begin < bytes.length; begin += piece) hash.update(bytes.subarray(begin, begin + piece))
}

const fileName = (step: number) => `step-${String(step).padStart(8, '0')}${SUFFIX}`

/** The steps of the checkpoints among file names, newest first. */
function stepsIn(names: string[]): number[] {
  return names
    .map((name) => ({ name, step: Number(/^step-(\d+)\./.exec(name)?.[1]) }))
    .filter(({ name, step }) => name === fileName(step))
    .map(({ step }) => step)
    .sort((a, b) => b - a)
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw fileError(error, 'read', directory)
  }
}

/** Deletes what is no longer needed. Never fails the save, which is done; what stays is tried again after the next. */
function prune(directory: string, step: number, keep: number): void {
  const names = attempt(() => readdirSync(directory)) ?? []
  const earlier = stepsIn(names).filter((other) => other <= step)
  for (const other of earlier.slice(keep)) attempt(() => unlinkSync(join(directory, fileName(other))))
  for (const name of names.filter((name) => name.startsWith('step-') && name.includes(`${SUFFIX}.tmp-`))) {
    const path = join(directory, name)
    attempt(() => isAbandonedTemporary(name, statSync(path).mtimeMs) && unlinkSync(path))
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch {
    return undefined // Usually: another process was faster.
  }
}

function checkCount(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new PrefgradError('ERR_OPTION', `${name} is ${String(value)}.`, {
    op: 'saveCheckpoint',
    arg: name,
    value,
    fix: `Give an integer of ${least} or more.`,
  })
}

function unusable(path: string, reason: string): PrefgradError {
  return new PrefgradError('ERR_CHECKPOINT', `Cannot use ${path}: ${reason}.`, {
    arg: path,
    fix: 'Use an older checkpoint of the folder, or restore this one from a copy.',
  })
}
