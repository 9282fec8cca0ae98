import { adamw, gradNorm } from '../index.ts'
import type { Parameters } from '../model/parameters.ts'
import type { PreparedCall } from '../op.ts'
import type { OpTable } from '../spec/index.ts'
import type { Tensor } from '../tensor.ts'

export interface AdamWOptions {
  beta1?: number
  beta2?: number
  epsilon?: number
  /** Decoupled decay of matrices; gains are never decayed. Default 0. */
  weightDecay?: number
  /** Largest norm of all gradients together; larger ones are scaled down. Default 1. */
  maxNorm?: number
}

/** What one step did, on the device: the next step overwrites it. */
export interface StepReport {
  gradNorm: Tensor<'f32'>
  /** 1: the gradient was not finite, and nothing was changed. */
  refused: Tensor<'i32'>
}

/** AdamW over the flat parameters of a model: two prepared calls a step, and all state in four tensors. */
export class AdamW {
  readonly m: Tensor<'f32'>
  readonly v: Tensor<'f32'>
  readonly step: Tensor<'i32'>
  readonly #decay: Tensor<'f32'>
  readonly #norm: PreparedCall<OpTable['gradNorm']>
  readonly #update: PreparedCall<OpTable['adamw']>

  constructor(parameters: Parameters, gradients: Tensor<'f32'>, options: AdamWOptions = {}) {
    const { device, flat, segments } = parameters
    const { weightDecay = 0, maxNorm = 1, ...rest } = options
    this.m = device.zeros(flat.shape)
    this.v = device.zeros(flat.shape)
    this.step = device.zeros([1], 'i32')
    this.#decay = parameters.decay(weightDecay)
    this.#norm = gradNorm.prepare({ grad: gradients })
    this.#update = adamw.prepare(
      {
        param: flat,
        grad: gradients,
        m: this.m,
        v: this.v,
        step: this.step,
        norm: this.#norm.outputs.norm,
        segments,
        decay: this.#decay,
      },
      { lr: 0, maxNorm, ...rest },
    )
  }

  /** One step at learning rate `lr`; it waits for nothing. */
  update(lr: number): StepReport {
    const { norm } = this.#norm.run()
    this.#update.set({ lr })
    const { refused } = this.#update.run()
    return { gradNorm: norm, refused }
  }

  /** Everything that a checkpoint must hold. */
  state(): { m: Tensor<'f32'>; v: Tensor<'f32'>; step: Tensor<'i32'> } {
    return { m: this.m, v: this.v, step: this.step }
  }

  dispose(): void {
    const { norm } = this.#norm.outputs
    const { refused } = this.#update.outputs
    this.#norm.dispose()
    this.#update.dispose()
    for (const tensor of [this.m, this.v, this.step, this.#decay, norm, refused]) tensor.dispose()
  }
}
