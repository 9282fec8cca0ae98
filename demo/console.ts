/** What the demo prints: a line per stage with its time, a bar on a terminal while it works. */

const seconds = (since: number): number => (Date.now() - since) / 1000

export class Console {
  readonly phases: { name: string; seconds: number }[] = []
  readonly #started = Date.now()
  readonly #live = process.stdout.isTTY === true
  #shown = 0

  /** Runs one stage; what it returns is printed as the stage's result. */
  async stage<T>(
    name: string,
    work: (progress: (done: number, total: number) => void) => Promise<[T, string]>,
  ): Promise<T> {
    const begun = Date.now()
    const [value, result] = await work((done, total) => this.#bar(name, done, total))
    this.#clear()
    const took = seconds(begun)
    this.phases.push({ name, seconds: took })
    console.log(`${name.padEnd(28)} ${took.toFixed(1).padStart(6)} s   ${result}`)
    return value
  }

  get seconds(): number {
    return seconds(this.#started)
  }

  #bar(name: string, done: number, total: number): void {
    if (!this.#live || Date.now() - this.#shown < 100) return
    this.#shown = Date.now()
    const width = 30
    const filled = Math.round((width * done) / Math.max(1, total))
    process.stdout.write(
      `\r\x1b[K${name.padEnd(28)} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}`,
    )
  }

  #clear(): void {
    if (this.#live) process.stdout.write('\r\x1b[K')
  }
}
