/** Running mean and variance (Welford 1962), for scores that drift in scale during a run. */
export class RunningMoments {
  #count = 0
  #mean = 0
  #m2 = 0

  add(values: Iterable<number>): void {
    for (const x of values) {
      this.#count++
      const gap = x - this.#mean
      this.#mean += gap / this.#count
      this.#m2 += gap * (x - this.#mean)
    }
  }

  get mean(): number {
    return this.#mean
  }

  /** 1 until there are two different values. */
  get deviation(): number {
    return this.#count > 1 && this.#m2 > 0 ? Math.sqrt(this.#m2 / (this.#count - 1)) : 1
  }

  state(): [count: number, mean: number, m2: number] {
    return [this.#count, this.#mean, this.#m2]
  }

  restore([count, mean, m2]: [number, number, number]): void {
    this.#count = count
    this.#mean = mean
    this.#m2 = m2
  }
}
