/** Keeps the policy within a KL budget by the weight of the penalty. */

export interface KlControllerOptions {
  /** First weight (beta). */
  initial: number
  /** KL per sequence in nats that the weight is steered to; absent: the weight is fixed. */
  target?: number
  /** Sequences over which the weight changes by a factor of e^0.2 at most. Default 2000. */
  horizon?: number
  /** The weight never falls below this. Default initial / 10. */
  floor?: number
}

/**
 * Ziegler et al. 2019 (arXiv:1909.08593) section 2.2: after n sequences, beta *= 1 + clip(kl / target - 1, -0.2, 0.2) n / horizon;
 * with a floor, since a policy that was let go once is hard to pull back.
 */
export class KlController {
  #coefficient: number
  readonly #target: number | undefined
  readonly #horizon: number
  readonly #floor: number

  constructor({ initial, target, horizon = 2000, floor = initial / 10 }: KlControllerOptions) {
    this.#coefficient = initial
    this.#target = target
    this.#horizon = horizon
    this.#floor = floor
  }

  get coefficient(): number {
    return this.#coefficient
  }

  update(kl: number, sequences: number): void {
    if (this.#target === undefined) return
    const error = Math.min(0.2, Math.max(-0.2, kl / this.#target - 1))
    this.#coefficient = Math.max(this.#floor, this.#coefficient * (1 + (error * sequences) / this.#horizon))
  }

  state(): number {
    return this.#coefficient
  }

  restore(state: number): void {
    this.#coefficient = state
  }
}
