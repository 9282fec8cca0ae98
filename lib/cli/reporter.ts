/** What a command says: records on standard output, notes and a progress bar on standard error. */
import type { WriteStream } from 'node:tty'

/** JSON has no NaN and no infinity, and a bare null would say less than the word. */
const jsonValue = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : ArrayBuffer.isView(value) ? undefined : value

const BAR_WIDTH = 24
const REDRAW_MS = 100
/** Without a terminal a run prints about this many lines. */
const PLAIN_LINES = 20

/**
 * Records are for programs with `--json` (one object a line) and for people without. Notes never mix with them, so that
 * `prefgrad generate … > texts` holds texts only.
 */
export class Reporter {
  readonly json: boolean
  readonly #out: NodeJS.WriteStream
  readonly #err: NodeJS.WriteStream
  #drawn = false
  #lastDraw = 0
  /** When each bar began, and how far it was and is: one that starts again counts its time anew. */
  readonly #bars = new Map<string, { since: number; from: number; done: number }>()

  constructor(options: { json: boolean; out?: NodeJS.WriteStream; err?: NodeJS.WriteStream }) {
    this.json = options.json
    this.#out = options.out ?? process.stdout
    this.#err = options.err ?? process.stderr
  }

  /** Colours are for people at a terminal. */
  get color(): boolean {
    return !this.json && this.#err.isTTY === true && process.env.NO_COLOR === undefined
  }

  /** Text that was asked for: help, a version. */
  print(text: string): void {
    this.#out.write(`${text}\n`)
  }

  /** A line that must be seen, on standard error. */
  alert(text: string): void {
    this.#clear()
    this.#err.write(`${text}\n`)
  }

  /** A line for people; nothing with `--json`. */
  note(text: string): void {
    if (!this.json) this.alert(text)
  }

  /** Something to know on the way: a record with `--json`, else a note. */
  info(event: string, fields: object, text: string): void {
    if (this.json) this.record(event, fields, text)
    else this.note(text)
  }

  /** A result: `{ event, ...fields }` with `--json`, else `text`. */
  record(event: string, fields: object, text: string): void {
    this.#clear()
    this.#out.write(this.json ? `${JSON.stringify({ event, ...fields }, jsonValue)}\n` : `${text}\n`)
  }

  /** One step of a run: a record with `--json`, a bar on a terminal, else about twenty lines a run. */
  step(name: string, fields: object, done: number, total: number, text: string): void {
    if (this.json) this.record('step', fields, '')
    else if (this.#err.isTTY) this.progress(name, done, total, text)
    else if (done % Math.ceil(total / PLAIN_LINES) === 0 || done === total) {
      this.#out.write(`${name} ${done}/${total}  ${text}\n`)
    }
  }

  /** A bar on a terminal, redrawn in place; nothing elsewhere. */
  progress(name: string, done: number, total: number, text = ''): void {
    if (this.json || !this.#err.isTTY) return
    const now = Date.now()
    let bar = this.#bars.get(name)
    if (bar === undefined || done < bar.done) bar = { since: now, from: done, done }
    bar.done = done
    this.#bars.set(name, bar)
    if (this.#drawn && done < total && now - this.#lastDraw < REDRAW_MS) return
    this.#lastDraw = now
    this.#drawn = true
    const filled = Math.round(BAR_WIDTH * Math.min(1, done / Math.max(1, total)))
    const pace = (now - bar.since) / (done - bar.from)
    const left = done > bar.from && done < total ? `${clock(pace * (total - done))} left` : ''
    const drawing = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`
    const line = [`${name} ${drawing} ${done}/${total}`, left, text].filter(Boolean).join('  ')
    this.#err.write(`\r\x1b[K${line.slice(0, ((this.#err as WriteStream).columns ?? 80) - 1)}`)
  }

  /** Takes the bar away. */
  #clear(): void {
    if (this.#drawn) this.#err.write('\r\x1b[K')
    this.#drawn = false
  }

  /** Before an error is printed, and at the end. */
  close(): void {
    this.#clear()
  }
}

/** Milliseconds as `1:05` or `2:00:05`. */
const clock = (milliseconds: number): string => {
  const seconds = Math.round(milliseconds / 1000)
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const shown = parts[0] === 0 ? parts.slice(1) : parts
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, '0'))).join(':')
}
