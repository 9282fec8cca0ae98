/** The tensors of one step: what is read at its end with one wait, and what is let go then. */
import type { Device } from './device.ts'
import type { ArrayOf, Dtype } from './dtype.ts'
import { refuse } from './refuse.ts'
import { Tensor } from './tensor.ts'

/** A tensor, or the results of a call. */
type Made = Tensor | Readonly<Record<string, Tensor | undefined>>

/**
 * Keeps the tensors of a step until it ends, and gathers what is to be looked at, so that a device that has to be waited for is
 * waited for once. Make one with {@link scoped}.
 */
export class Scope {
  readonly device: Device
  #owned: Tensor[] = []
  readonly #wanted: Tensor[] = []
  #arrays: ArrayOf[Dtype][] = []

  constructor(device: Device) {
    this.device = device
  }

  /** Lets a tensor, or all results of a call, go when the step ends. What `out` gave to the call would go with them. */
  own<T extends Made>(made: T): T {
    if (made instanceof Tensor) {
      this.#owned.push(made)
      return made
    }
    for (const name in made) {
      const tensor = made[name]
      if (tensor instanceof Tensor) this.#owned.push(tensor)
    }
    return made
  }

  /** `device.tensor` for the length of the step. */
  readonly tensor: Device['tensor'] = (data, shape, dtype) => this.own(this.device.tensor(data, shape, dtype))

  /**
   * Asks for the elements of a tensor; the function gives them once {@link Scope.read} has been waited for. Until then nothing may
   * write to the tensor.
   */
  want<D extends Dtype>(tensor: Tensor<D>): () => ArrayOf[D] {
    const index = this.#wanted.push(tensor) - 1
    return () => {
      if (index >= this.#arrays.length) {
        refuse('ERR_ARGUMENT', 'what a step left has not been read yet.', { fix: 'await scope.read() first.' })
      }
      return this.#arrays[index] as ArrayOf[D]
    }
  }

  /** Brings everything that was asked for, with one wait. */
  async read(): Promise<void> {
    this.#arrays = await this.device.read(this.#wanted)
  }

  /** Lets everything that is owned go; harmless when called again. */
  dispose(): void {
    for (const tensor of this.#owned) tensor.dispose()
    this.#owned = []
  }
}

/** Runs a step in a scope of its own, which ends with it, however it ends. */
export const scoped = async <T>(device: Device, step: (scope: Scope) => T | Promise<T>): Promise<T> => {
  const scope = new Scope(device)
  try {
    return await step(scope)
  } finally {
    scope.dispose()
  }
}
