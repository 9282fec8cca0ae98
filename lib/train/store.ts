/** What a run leaves behind: metrics, checkpoints, and `run.json`. */
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PrefgradError } from '../errors.ts'
import { fileError, makeFolder, writeFileAtomic } from './atomic.ts'
import { loadLatestCheckpoint, type SkippedCheckpoint, saveCheckpoint } from './checkpoint.ts'

/** State of a loop between two steps: named f32 and i32 arrays, and everything else as JSON. */
export interface Snapshot {
  step: number
  arrays: Record<string, Float32Array | Int32Array>
  state: Record<string, unknown>
}

/** Where a loop saves itself; {@link RunFolder} is the one on disk. */
export interface SnapshotStore {
  /** The newest snapshot, if the run is to go on from one. */
  restore(): Promise<Snapshot | undefined>
  /** Returns where it went, for the message. */
  save(snapshot: Snapshot): Promise<string>
  /** One line of metrics. */
  log(record: Record<string, unknown>): void
}

/** A folder with `metrics.jsonl`, `checkpoints/` and `run.json`. */
export class RunFolder implements SnapshotStore {
  readonly directory: string
  readonly #resume: boolean
  readonly #identity: string
  /** Newer checkpoints that {@link restore} passed over because they are damaged. */
  skipped: readonly SkippedCheckpoint[] = []

  /**
   * `identity` is what must be the same for a snapshot to fit: configuration and data hashes, as one string. Of a JSON
   * object a refusal names the members that differ.
   *
   * @throws PrefgradError `ERR_FILE` when the folder holds another run and `resume` is false, or cannot be made
   */
  constructor(directory: string, options: { resume?: boolean; identity: string }) {
    this.directory = directory
    this.#resume = options.resume === true
    this.#identity = options.identity
    if (!this.#resume && RunFolder.holdsRun(directory)) {
      throw new PrefgradError('ERR_FILE', `${directory} already holds a run.`, {
        arg: directory,
        fix: 'Give another folder, or --resume to go on with this one.',
      })
    }
    makeFolder(this.#checkpoints)
  }

  /** True when a run has begun in this folder. */
  static holdsRun(directory: string): boolean {
    const checkpoints = join(directory, 'checkpoints')
    return (
      existsSync(join(directory, 'metrics.jsonl')) || (existsSync(checkpoints) && readdirSync(checkpoints).length > 0)
    )
  }

  get #metrics(): string {
    return join(this.directory, 'metrics.jsonl')
  }

  get #checkpoints(): string {
    return join(this.directory, 'checkpoints')
  }

  async restore(): Promise<Snapshot | undefined> {
    if (!this.#resume) return undefined
    const found = await loadLatestCheckpoint(this.#checkpoints)
    if (found === undefined) {
      throw new PrefgradError('ERR_CHECKPOINT', `${this.#checkpoints} has no checkpoint to resume from.`, {
        arg: this.directory,
        fix: 'Start the run without --resume, in a new folder.',
      })
    }
    this.skipped = found.skipped
    const { identity, ...state } = found.state as Record<string, unknown>
    if (identity !== this.#identity) {
      const what = differences(identity, this.#identity)
      throw new PrefgradError('ERR_CHECKPOINT', `${found.path} belongs to a run with other settings or data${what}.`, {
        arg: this.directory,
        fix: 'Resume with exactly the settings, seed and data files that the run was started with.',
      })
    }
    const arrays: Snapshot['arrays'] = {}
    for (const [name, tensor] of found.tensors) arrays[name] = tensor.data as Float32Array | Int32Array
    await this.#cutMetrics(found.step)
    return { step: found.step, arrays, state }
  }

  async save(snapshot: Snapshot): Promise<string> {
    const tensors = Object.fromEntries(
      Object.entries(snapshot.arrays).map(([name, data]) => [
        name,
        { dtype: data instanceof Int32Array ? ('I32' as const) : ('F32' as const), shape: [data.length], data },
      ]),
    )
    const state = { ...snapshot.state, identity: this.#identity }
    return saveCheckpoint(this.#checkpoints, { step: snapshot.step, tensors, state })
  }

  log(record: Record<string, unknown>): void {
    try {
      appendFileSync(this.#metrics, `${JSON.stringify(record)}\n`)
    } catch (cause) {
      throw fileError(cause, 'write', this.#metrics)
    }
  }

  /** `run.json`: what was done, with what, and what it is good for. */
  async writeCard(card: Record<string, unknown>): Promise<void> {
    const text = new TextEncoder().encode(`${JSON.stringify(card, null, 2)}\n`)
    await writeFileAtomic(join(this.directory, 'run.json'), [text])
  }

  /** Steps after the checkpoint are done again: their lines go, so that no step stands there twice. */
  async #cutMetrics(step: number): Promise<void> {
    if (!existsSync(this.#metrics)) return
    const kept = readFileSync(this.#metrics, 'utf8')
      .split('\n')
      .filter((line) => {
        try {
          return JSON.parse(line).step <= step
        } catch {
          return false
        }
      })
    const text = new TextEncoder().encode(kept.map((line) => `${line}\n`).join(''))
    await writeFileAtomic(this.#metrics, [text])
  }
}

/** The members in which two JSON objects differ, in words; nothing when they are no JSON objects. */
const differences = (before: unknown, now: string): string => {
  try {
    const [old, wanted] = [JSON.parse(before as string), JSON.parse(now)] as Record<string, unknown>[]
    const names = [...new Set([...Object.keys(old), ...Object.keys(wanted)])].filter(
      (name) => JSON.stringify(old[name]) !== JSON.stringify(wanted[name]),
    )
    const shown = names.map((name) => `${name} was ${JSON.stringify(old[name])} and is ${JSON.stringify(wanted[name])}`)
    return shown.length === 0 ? '' : `: ${shown.join('; ')}`
  } catch {
    return ''
  }
}
