import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import { PrefgradError } from '../errors.ts'

/** The calls that a safe write makes; tests put failing ones in their place. */
export type AtomicFileSystem = Pick<
  typeof fs,
  'openSync' | 'writeSync' | 'fsyncSync' | 'closeSync' | 'renameSync' | 'unlinkSync'
>

// Windows knows no O_NOFOLLOW; O_EXCL alone already refuses to open what somebody else put there.
const CREATE_NEW = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | (fs.constants.O_NOFOLLOW ?? 0)
const TEMPORARY_NAME = /\.tmp-(\d+)-[0-9a-f]{16}$/
const LONGEST_WRITE = 2 ** 30

/**
 * Replaces a file so that, whenever the process or the machine stops, its name holds either the old content or the
 * whole new one: write to a new file beside it, fsync, rename over it, fsync the folder. When the call returns, the new
 * content is on the disk. It blocks until then, so that no chunk can change between two writes.
 *
 * @param path the file; its folder must exist. A symbolic link is replaced, not followed.
 * @param content a text, or chunks in order; a generator may compute the last ones (a checksum) from the ones before.
 * @throws PrefgradError `ERR_FILE` when the disk is full, read-only or failing; the temporary file is removed and the
 * old file is as it was.
 */
export function writeFileAtomic(
  path: string,
  content: string | Iterable<ArrayBufferView>,
  { fileSystem = fs }: { fileSystem?: AtomicFileSystem } = {},
): void {
  const chunks = typeof content === 'string' ? [new TextEncoder().encode(content)] : content
  const target = resolve(path)
  const temporary = `${target}.tmp-${process.pid}-${randomBytes(8).toString('hex')}`
  let descriptor: number
  try {
    descriptor = fileSystem.openSync(temporary, CREATE_NEW, 0o666)
  } catch (error) {
    throw fileError(error, 'write', path, KEPT)
  }
  try {
    try {
      for (const chunk of chunks) writeFully(fileSystem, descriptor, chunk)
      // A failed fsync is final: the kernel may have dropped the dirty pages, and a second try would then succeed falsely.
      fileSystem.fsyncSync(descriptor)
    } finally {
      fileSystem.closeSync(descriptor)
    }
    fileSystem.renameSync(temporary, target)
  } catch (error) {
    removeQuietly(fileSystem, temporary)
    throw isSystemError(error) ? fileError(error, 'write', path, KEPT) : error
  }
  try {
    syncFolder(fileSystem, dirname(target))
  } catch (error) {
    throw fileError(error, 'write', path, ' The new content is complete, but a power cut could still undo it.')
  }
}

/**
 * Makes a folder and those above it that are missing, durably: a file is no safer than the folder that names it.
 * @throws PrefgradError `ERR_FILE`.
 */
export function makeFolder(path: string): void {
  try {
    const first = fs.mkdirSync(path, { recursive: true })
    if (first === undefined) return
    for (let made = resolve(path); made.length >= resolve(first).length; made = dirname(made))
      syncFolder(fs, dirname(made))
  } catch (error) {
    throw fileError(error, 'write', path)
  }
}

/**
 * Tells whether a file name is the temporary one of a {@link writeFileAtomic} that can no longer finish: its process is
 * gone and it has not grown for a minute, or it has not grown for a day (the number of a dead process may be in use
 * again, and one seen as dead may live on another machine that shares the folder).
 * @param modified the file's modification time in milliseconds.
 */
export function isAbandonedTemporary(name: string, modified: number, now = Date.now()): boolean {
  const match = TEMPORARY_NAME.exec(name)
  if (match === null) return false
  const idle = now - modified
  return idle > 86_400_000 || (idle > 60_000 && !isAlive(Number(match[1])))
}

/** Wraps an error of the operating system into `ERR_FILE` with the path, the reason in words, and what to do. */
export function fileError(cause: unknown, verb: 'read' | 'write', path: string, consequence = ''): PrefgradError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const [reason, fix] = REASONS[code] ?? [(cause as Error).message, 'Check the path and the disk.']
  return new PrefgradError('ERR_FILE', `Cannot ${verb} ${path}: ${reason}${code && ` (${code})`}.${consequence}`, {
    arg: path,
    value: code,
    fix,
    cause,
  })
}

const KEPT = ' Whatever the file held before is untouched.'

const REASONS: Record<string, [reason: string, fix: string]> = {
  EACCES: ['permission denied', 'Give this user the permission, or choose another folder.'],
  EDQUOT: ['the disk quota is used up', 'Free some space or choose another folder, then run the command again.'],
  EFBIG: ['the file would exceed the largest size allowed', 'Raise `ulimit -f` or use another file system.'],
  EIO: ['the disk reported an error', 'Check the disk (`dmesg` on Linux) or choose another one.'],
  EISDIR: ['it is a folder', 'Give the path of a file.'],
  EMFILE: ['too many files are open', 'Raise `ulimit -n`.'],
  ENOENT: ['there is no such file or folder', 'Check the path, and create the folder if it is missing.'],
  ENOSPC: ['the disk is full', 'Free some space or choose another folder, then run the command again.'],
  ENOTDIR: ['a part of the path is not a folder', 'Check the path.'],
  EPERM: ['the operation is not permitted', 'Give this user the permission, or choose another folder.'],
  EROFS: ['the file system is read-only', 'Choose a folder that can be written.'],
}

function writeFully(fileSystem: AtomicFileSystem, descriptor: number, chunk: ArrayBufferView): void {
  const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  let written = 0
  while (written < bytes.length) {
    const length = Math.min(bytes.length - written, LONGEST_WRITE)
    const count = fileSystem.writeSync(descriptor, bytes, written, length)
    // No disk should take nothing and report no error; going on would never end.
    if (count === 0) throw Object.assign(new Error('no byte was taken'), { code: 'EIO', syscall: 'write' })
    written += count
  }
}

/** Makes what was renamed or created in a folder durable; without this a power cut may bring its old entries back. */
function syncFolder(fileSystem: AtomicFileSystem, folder: string): void {
  if (process.platform === 'win32') return // Folders cannot be opened there; NTFS journals its entries.
  try {
    const descriptor = fileSystem.openSync(folder, fs.constants.O_RDONLY)
    try {
      fileSystem.fsyncSync(descriptor)
    } finally {
      fileSystem.closeSync(descriptor)
    }
  } catch (error) {
    // Some network and FUSE file systems have no fsync for folders and say so with EINVAL.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
  }
}

function removeQuietly(fileSystem: AtomicFileSystem, path: string): void {
  try {
    fileSystem.unlinkSync(path)
  } catch {
    // The error that led here matters more; the file is swept up later as abandoned.
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
