/** A peer's process: a request at a time as a line of JSON, an answer each. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export class Child {
  readonly #process: ChildProcess
  readonly #answers: AsyncIterator<string>
  #stderr = ''

  /** @param environment is added to this process's own */
  constructor(program: string, script: string, environment: Readonly<Record<string, string>>) {
    this.#process = spawn(program, [script], {
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#process.stderr!.on('data', (text) => {
      this.#stderr = `${this.#stderr}${text}`.slice(-400)
    })
    // A peer that dies is reported by the next request.
    this.#process.on('error', () => {})
    this.#process.stdin!.on('error', () => {})
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]()
  }

  /** @throws with what the peer says is wrong, or with its last words if it ended */
  async ask<T>(request: Record<string, unknown>): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(request)}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new ChildEnded(`the peer's process ended. ${this.#stderr.trim()}`)
    const answer = JSON.parse(value) as T & { error?: string }
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  /** Ends a process that does not answer; the request that waits for it throws. */
  kill(): void {
    this.#process.kill('SIGKILL')
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('close', resolve))
    this.#process.stdin!.end()
    if (!this.hasEnded) await ended
  }
}

/** The process is gone; another must be started. */
export class ChildEnded extends Error {}

export const decode = (base64: string): Float32Array => {
  const bytes = Buffer.from(base64, 'base64')
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}
