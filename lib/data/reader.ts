import { PrefgradError } from '../errors.ts'
import { LineError } from './fields.ts'
import type { Line } from './lines.ts'
import { LineSplitter } from './lines.ts'
import { checkChoice, checkInteger, plural } from './options.ts'
import { openSource } from './source.ts'

/** How a file is read. */
export interface ReadOptions {
  /**
   * What a line that cannot be used does. `'error'` (default): reading fails with `ERR_DATA` after the whole file was
   * checked, and nothing is delivered from the first such line on. `'skip'`: the line is left out and counted in the
   * report.
   */
  onBadLine?: 'error' | 'skip'
  /** Longest line in bytes; a longer one is a bad line and is never held in memory. Default 16 MiB. */
  maxLineBytes?: number
  /** Stops reading with `ERR_ABORTED`. */
  signal?: AbortSignal
}

export interface BadLine {
  /** From 1, blank lines counted. */
  line: number
  reason: string
}

/** What a file held: for `run.json`, for a log line (see {@link describeReport}), for tests. */
export interface FileReport {
  path: string
  /** SHA-256 of the file's bytes as they lie on disk (before decompression), in hex. */
  sha256: string
  /** Size on disk. */
  bytes: number
  gzip: boolean
  lines: number
  blankLines: number
  /** How many records were delivered. */
  records: number
  /** Records left out because of their verdict (`both-bad`, `skip`). */
  unusable: number
  badLineCount: number
  /** The first twenty of them. */
  badLines: BadLine[]
}

/** Turns lines into records. `null` is a record that is fine but not wanted, `undefined` a line that completes none. */
export interface RecordParser<T> {
  /** True when blank lines mean nothing and are only counted. */
  readonly skipsBlankLines: boolean
  /** @throws LineError when the line cannot be used. */
  line(text: string, number: number, terminated: boolean): T | null | undefined
  end(): T | undefined
}

const MAX_LINE_BYTES = 16 * 2 ** 20
const LINES_KEPT = 20
const LINES_SHOWN = 5

/**
 * The records of one file, read as a stream: `for await (const record of reader)`, or all at once with
 * {@link RecordReader.load}. Each iteration reads the file anew.
 */
export class RecordReader<T> implements AsyncIterable<T> {
  readonly path: string
  readonly #newParser: () => RecordParser<T>
  readonly #options: Required<Omit<ReadOptions, 'signal'>> & { signal?: AbortSignal }
  #report: FileReport | undefined

  /** Not called by users: see `readPreferences`, `readSft`, `readPrompts` and `readText`. */
  constructor(path: string, newParser: () => RecordParser<T>, options: ReadOptions) {
    this.path = path
    this.#newParser = newParser
    const { onBadLine = 'error', maxLineBytes = MAX_LINE_BYTES, signal } = options
    checkChoice('onBadLine', onBadLine, ['error', 'skip'])
    checkInteger('maxLineBytes', maxLineBytes, 1)
    this.#options = { onBadLine, maxLineBytes, signal }
  }

  /**
   * What the last complete iteration found, a failed one included.
   * @throws PrefgradError `ERR_ARGUMENT` before the file was read to its end.
   */
  get report(): FileReport {
    if (this.#report === undefined) {
      throw new PrefgradError('ERR_ARGUMENT', `${this.path} has not been read to its end, so there is no report.`, {
        arg: 'report',
        fix: 'Iterate to the end or await load() first.',
      })
    }
    return this.#report
  }

  /**
   * All records and the report; or an error and no records at all.
   * @throws PrefgradError `ERR_FILE`: missing, a directory, cut off or corrupt. `ERR_DATA`: lines that cannot be used
   * (the first few are named with their numbers and reasons), or no record. `ERR_ABORTED`: by `signal`.
   */
  async load(): Promise<{ examples: T[]; report: FileReport }> {
    const examples: T[] = []
    for await (const batch of this.#batches()) for (const record of batch) examples.push(record)
    return { examples, report: this.report }
  }

  /** One record after the other; throws as {@link RecordReader.load} does, at the latest when the file ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for await (const batch of this.#batches()) yield* batch
  }

  /** The records chunk by chunk: one await for thousands of lines. */
  async *#batches(): AsyncGenerator<T[], void, void> {
    this.#report = undefined
    const source = await openSource(this.path)
    try {
      const intake = new Intake(this.#newParser(), this.#options.onBadLine)
      const splitter = new LineSplitter(this.#options.maxLineBytes)
      for await (const chunk of source.chunks) {
        this.#checkSignal()
        yield intake.take(splitter.push(chunk))
      }
      yield intake.take(splitter.end())
      yield intake.end()
      this.#report = { path: this.path, gzip: source.gzip, ...source.finish(), ...intake.counts }
    } finally {
      await source.close()
    }
    if (this.#report.badLineCount > 0 && this.#options.onBadLine === 'error') throw badLinesError(this.#report)
    if (this.#report.records === 0) throw noRecordsError(this.#report)
  }

  #checkSignal(): void {
    if (!this.#options.signal?.aborted) return
    throw new PrefgradError('ERR_ABORTED', `Reading ${this.path} was stopped.`, {
      arg: this.path,
      cause: this.#options.signal.reason,
    })
  }
}

/** Parses lines and keeps the counts of one pass over a file. */
class Intake<T> {
  readonly counts = {
    lines: 0,
    blankLines: 0,
    records: 0,
    unusable: 0,
    badLineCount: 0,
    badLines: [] as BadLine[],
  }
  readonly #parser: RecordParser<T>
  readonly #skips: boolean

  constructor(parser: RecordParser<T>, onBadLine: 'error' | 'skip') {
    this.#parser = parser
    this.#skips = onBadLine === 'skip'
  }

  take(lines: Line[]): T[] {
    const records: T[] = []
    for (const line of lines) {
      this.counts.lines++
      const record = this.#parse(line)
      if (record === null) this.counts.unusable++
      else if (record !== undefined && this.#delivers) records.push(record)
    }
    this.counts.records += records.length
    return records
  }

  end(): T[] {
    const last = this.#parser.end()
    if (last === undefined || !this.#delivers) return []
    this.counts.records++
    return [last]
  }

  get #delivers(): boolean {
    return this.#skips || this.counts.badLineCount === 0
  }

  #parse(line: Line): T | null | undefined {
    try {
      if (line.reason !== undefined) throw new LineError(line.reason)
      if (line.text.trim() === '') {
        this.counts.blankLines++
        if (this.#parser.skipsBlankLines) return undefined
      }
      return this.#parser.line(line.text, line.number, line.terminated)
    } catch (error) {
      if (!(error instanceof LineError)) throw error
      this.counts.badLineCount++
      if (this.counts.badLines.length < LINES_KEPT) {
        this.counts.badLines.push({ line: line.number, reason: error.message })
      }
      return undefined
    }
  }
}

/**
 * A report in words, one line per bad line: `pairs.jsonl.gz: 998 records from 1000 lines (gzip, 41200 bytes, sha256
 * 1f2e…); 2 bad lines were skipped:` and so on.
 */
export function describeReport(report: FileReport): string {
  const form = `${report.gzip ? 'gzip, ' : ''}${report.bytes} bytes, sha256 ${report.sha256.slice(0, 12)}…`
  const unusable = report.unusable === 0 ? '' : `; ${report.unusable} without a preference (both-bad or skip)`
  const bad = report.badLineCount === 0 ? '' : `; ${plural(report.badLineCount, 'bad line')} skipped:\n${list(report)}`
  const counts = `${plural(report.records, 'record')} from ${plural(report.lines, 'line')}`
  return `${report.path}: ${counts} (${form})${unusable}${bad}`
}

function badLinesError(report: FileReport): PrefgradError {
  const count = `${report.badLineCount} of ${plural(report.lines, 'line')}`
  return new PrefgradError('ERR_DATA', `${report.path}: ${count} cannot be used:\n${list(report)}\n`, {
    arg: report.path,
    index: report.badLines[0].line,
    value: report.badLines,
    fix: "Correct the file, or read it with onBadLine: 'skip' to leave such lines out.",
  })
}

function noRecordsError(report: FileReport): PrefgradError {
  const why =
    report.badLineCount > 0
      ? `:\n${list(report)}\n`
      : report.unusable > 0
        ? `: the verdict of all its ${plural(report.unusable, 'pair')} is both-bad or skip.`
        : `: ${plural(report.lines, 'line')}, ${report.blankLines} of them blank.`
  return new PrefgradError('ERR_DATA', `${report.path} holds nothing to use${why}`, {
    arg: report.path,
    index: report.badLines[0]?.line,
    value: report.badLines,
    fix: 'Check that this is the file you meant.',
  })
}

function list({ badLines, badLineCount }: FileReport): string {
  const shown = badLines.slice(0, LINES_SHOWN).map(({ line, reason }) => `  line ${line}: ${reason}`)
  const more = badLineCount - shown.length
  return more === 0 ? shown.join('\n') : `${shown.join('\n')}\n  and ${more} more`
}
