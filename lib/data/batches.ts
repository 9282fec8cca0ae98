import { PrefgradError } from '../errors.ts'
import { Random, splitMix64 } from '../random.ts'
import { checkInteger } from './options.ts'

/** Where a run stands in its data; survives JSON unchanged. */
export interface DataPosition {
  /** From 0. */
  epoch: number
  /** How many examples of this epoch were handed out. */
  index: number
}

export interface BatchOptions {
  /** Examples in a batch; the last one of an epoch may be smaller. */
  batchSize: number
  /** How often every example is seen. Default 1; `Infinity` goes on for ever. */
  epochs?: number
  /** An integer from 0 to 2^53 − 1, or a bigint from 0 to 2^64 − 1. Default 0. */
  seed?: number | bigint
  /** False keeps the order of the examples. Default true. */
  shuffle?: boolean
  /** Where to go on. Default: the beginning. */
  position?: DataPosition
}

/**
 * Hands out examples in batches, epoch after epoch, each epoch in an order of its own that depends on nothing but the
 * seed, the epoch and the number of examples: a run that resumes at a saved {@link Batches.position} sees exactly what
 * it would have seen. `for (const batch of batches)` goes on from the position.
 */
export class Batches<T> implements Iterable<T[]> {
  readonly #examples: readonly T[]
  readonly #batchSize: number
  readonly #epochs: number
  readonly #seed: bigint
  readonly #shuffle: boolean
  #position: DataPosition
  #order: number[] = []
  #orderEpoch = -1

  /**
   * @throws PrefgradError `ERR_DATA` when there are no examples, `ERR_OPTION` for a bad option or a position outside
   * the examples.
   */
  constructor(examples: readonly T[], options: BatchOptions) {
    const { batchSize, epochs = 1, seed = 0, shuffle = true, position = { epoch: 0, index: 0 } } = options
    if (examples.length === 0) {
      throw new PrefgradError('ERR_DATA', 'There are no examples to make batches of.', {
        arg: 'examples',
        fix: 'Look at the counts of what was dropped, and raise maxLength or give more data.',
      })
    }
    new Random(seed) // refuses a bad seed now, not at the first batch
    checkInteger('position.epoch', position.epoch, 0)
    checkInteger('position.index', position.index, 0)
    if (position.index >= examples.length) {
      throw new PrefgradError('ERR_OPTION', `The position is example ${position.index} of ${examples.length}.`, {
        arg: 'position',
        value: position.index,
        fix: 'Resume with the data that the run was started with.',
      })
    }
    this.#examples = examples
    this.#batchSize = checkInteger('batchSize', batchSize, 1)
    this.#epochs = epochs === Number.POSITIVE_INFINITY ? epochs : checkInteger('epochs', epochs, 0)
    this.#seed = BigInt(seed)
    this.#shuffle = shuffle
    this.#position = { ...position }
  }

  /** Where the next batch begins; `{ epoch: epochs, index: 0 }` when all is done. */
  get position(): DataPosition {
    return { ...this.#position }
  }

  /** How many batches an epoch has. */
  get batchesPerEpoch(): number {
    return Math.ceil(this.#examples.length / this.#batchSize)
  }

  /** The next batch, or undefined after the last epoch. */
  next(): T[] | undefined {
    const { epoch, index } = this.#position
    if (epoch >= this.#epochs) return undefined
    const end = Math.min(index + this.#batchSize, this.#examples.length)
    const batch = this.#orderOf(epoch).slice(index, end)
    this.#position = end === this.#examples.length ? { epoch: epoch + 1, index: 0 } : { epoch, index: end }
    return batch.map((i) => this.#examples[i])
  }

  *[Symbol.iterator](): Generator<T[], void, void> {
    for (let batch = this.next(); batch !== undefined; batch = this.next()) yield batch
  }

  #orderOf(epoch: number): number[] {
    if (this.#orderEpoch !== epoch) {
      this.#order = Array.from(this.#examples, (_, i) => i)
      if (this.#shuffle) new Random(splitMix64(this.#seed, epoch)).shuffle(this.#order)
      this.#orderEpoch = epoch
    }
    return this.#order
  }
}
