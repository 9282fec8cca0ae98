/** The built-in policy and reward model: a transformer with the heads that trainers need. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Device } from '../device.ts'
import { linear, linearBackward, poolRows, poolRowsBackward } from '../index.ts'
import type { Random } from '../random.ts'
import type { Tensor } from '../tensor.ts'
import type { ModelConfig } from './config.ts'
import { readModelFiles, writeModelFiles } from './files.ts'
import { type Completion, type GenerateOptions, generate } from './generate.ts'
import type { Parameters } from './parameters.ts'
import { type PackedTokens, Transformer, type TrunkContext } from './transformer.ts'

type F32 = Tensor<'f32'>

/** A packed batch, and the rows whose next-token logits (and values) are wanted. */
export interface PolicyBatch extends PackedTokens {
  /** i32 [R], rows of the packed tokens. */
  rows: Tensor<'i32'>
}

export interface PolicyOutput<Context = unknown> {
  /** [R, V]: what follows each wanted row. */
  logits: F32
  /** [R], with a value head. */
  values?: F32
  /** For `backward`; dead after the next forward call. */
  context: Context
}

/**
 * What trainers ask of a policy. The built-in transformer implements it; a model of your own can too. A frozen reference is
 * another policy whose `backward` is never called.
 */
export interface Policy<Context = unknown> {
  readonly device: Device
  /** Logits of the wanted rows; `keep` tells that `backward` will follow. */
  forward(batch: PolicyBatch, keep?: boolean): PolicyOutput<Context>
  /** Adds to `gradients`; may overwrite the tensors that it is given. */
  backward(context: Context, upstream: { gradLogits: F32; gradValues?: F32 }): void
  parameters(): Parameters
  /** Flat, laid out as the parameters. */
  readonly gradients: F32
  zeroGradients(): void
  generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions): Promise<Completion[]>
  save(directory: string): Promise<void>
}

interface PolicyContext {
  trunk: TrunkContext
  picked: F32
  rows: Tensor<'i32'>
}

const VALUE_HEAD = 'value_head.weight'
const SCORE_HEAD = 'score.weight'

/** A language model with an optional value head. */
export class TransformerPolicy implements Policy<PolicyContext> {
  readonly model: Transformer
  readonly hasValueHead: boolean

  constructor(device: Device, config: ModelConfig, options: { valueHead?: boolean } = {}) {
    this.hasValueHead = options.valueHead === true
    const head = { name: VALUE_HEAD, shape: [1, config.width], init: 0, decays: true } as const
    this.model = new Transformer(device, config, this.hasValueHead ? [head] : [])
  }

  /** A policy with fresh weights. */
  static create(device: Device, config: ModelConfig, random: Random): TransformerPolicy {
    const policy = new TransformerPolicy(device, config)
    policy.parameters().initialize(random)
    return policy
  }

  /** Reads `config.json` and `model.safetensors` of a folder; with `valueHead`, a missing value head starts at 0. */
  static load(device: Device, directory: string, options: { valueHead?: boolean } = {}): TransformerPolicy {
    const { config, fill } = readModelFiles(directory)
    const policy = new TransformerPolicy(device, config, options)
    fill(policy.parameters(), [VALUE_HEAD])
    return policy
  }

  get device(): Device {
    return this.model.device
  }

  get gradients(): F32 {
    return this.model.gradients
  }

  parameters(): Parameters {
    return this.model.parameters
  }

  zeroGradients(): void {
    this.model.zeroGradients()
  }

  forward(batch: PolicyBatch, keep = false): PolicyOutput<PolicyContext> {
    const { hidden, context } = this.model.forward(batch, keep)
    const { picked, logits } = this.model.logits(hidden, batch.rows)
    const output: PolicyOutput<PolicyContext> = { logits, context: { trunk: context, picked, rows: batch.rows } }
    if (this.hasValueHead) {
      const values = this.model.arena.take('values', [batch.rows.size, 1])
      linear({ x: picked, weight: this.model.weight(VALUE_HEAD) }, {}, { out: { y: values } })
      output.values = this.model.arena.take('values', [batch.rows.size])
    }
    return output
  }

  backward(context: PolicyContext, upstream: { gradLogits: F32; gradValues?: F32 }): void {
    const { picked, rows, trunk } = context
    let gradPicked: F32 | undefined
    if (upstream.gradValues !== undefined) {
      gradPicked = this.model.arena.take('grad.picked', picked.shape)
      const gradY = upstream.gradValues.reshape([rows.size, 1])
      linearBackward(
        { gradY, x: picked, weight: this.model.weight(VALUE_HEAD) },
        { accumulate: ['gradWeight'] },
        { out: { gradX: gradPicked, gradWeight: this.model.gradient(VALUE_HEAD) } },
      )
      gradY.dispose()
    }
    const gradHidden = this.model.logitsBackward(upstream.gradLogits, picked, rows, trunk.tokens.ids.size, gradPicked)
    this.model.backward(trunk, gradHidden)
  }

  generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions): Promise<Completion[]> {
    return generate(this.model, prompts, options)
  }

  /** A copy with memory of its own: the frozen reference of a run. */
  clone(options: { valueHead?: boolean } = { valueHead: this.hasValueHead }): TransformerPolicy {
    const copy = new TransformerPolicy(this.device, this.model.config, options)
    copy.parameters().copyFrom(this.parameters())
    return copy
  }

  async save(directory: string): Promise<void> {
    mkdirSync(directory, { recursive: true })
    await writeModelFiles(directory, this.model.config, this.parameters(), 'causal-lm')
  }

  dispose(): void {
    this.model.dispose()
  }
}

/** A packed batch of whole texts to score; `valid` marks the rows that are pooled (absent: all). */
export interface ScoreBatch extends PackedTokens {
  valid?: Tensor<'u8'>
}

interface ScoreContext {
  trunk: TrunkContext
  hidden: F32
  pooled: F32
  batch: ScoreBatch
}

/** How a reward model makes one row of a text. */
export type Pooling = 'mean' | 'last'

/** A transformer that gives one score per sequence: pooled hidden states through a linear head. */
export class RewardModel {
  readonly model: Transformer
  readonly pooling: Pooling

  constructor(device: Device, config: ModelConfig, pooling: Pooling = 'mean') {
    this.pooling = pooling
    this.model = new Transformer(device, config, [
      { name: SCORE_HEAD, shape: [1, config.width], init: 0, decays: true },
    ])
  }

  /** Starts from a language model's trunk, with a score head of zeros. */
  static fromPolicy(policy: TransformerPolicy, pooling: Pooling = 'mean'): RewardModel {
    const reward = new RewardModel(policy.device, policy.model.config, pooling)
    reward.parameters().copyFrom(policy.parameters())
    return reward
  }

  static load(device: Device, directory: string): RewardModel {
    const { config, fill, pooling } = readModelFiles(directory)
    const reward = new RewardModel(device, config, pooling)
    fill(reward.parameters(), [])
    return reward
  }

  get device(): Device {
    return this.model.device
  }

  get gradients(): F32 {
    return this.model.gradients
  }

  parameters(): Parameters {
    return this.model.parameters
  }

  zeroGradients(): void {
    this.model.zeroGradients()
  }

  /** Scores [B]. */
  forward(batch: ScoreBatch, keep = false): { scores: F32; context: ScoreContext } {
    const { hidden, context } = this.model.forward(batch, keep)
    const B = batch.offsets.size - 1
    const pooled = this.model.arena.take('pooled', [B, this.model.config.width])
    poolRows({ x: hidden, valid: batch.valid, offsets: batch.offsets }, { kind: this.pooling }, { out: { y: pooled } })
    const scores = this.model.arena.take('scores', [B, 1])
    linear({ x: pooled, weight: this.model.weight(SCORE_HEAD) }, {}, { out: { y: scores } })
    return { scores: this.model.arena.take('scores', [B]), context: { trunk: context, hidden, pooled, batch } }
  }

  /** Adds to `gradients` from the gradient of the scores [B]. */
  backward(context: ScoreContext, gradScores: F32): void {
    const { hidden, pooled, batch } = context
    const gradPooled = this.model.arena.take('grad.pooled', pooled.shape)
    const gradY = gradScores.reshape([gradScores.size, 1])
    linearBackward(
      { gradY, x: pooled, weight: this.model.weight(SCORE_HEAD) },
      { accumulate: ['gradWeight'] },
      { out: { gradX: gradPooled, gradWeight: this.model.gradient(SCORE_HEAD) } },
    )
    gradY.dispose()
    const gradHidden = this.model.arena.take('grad.hidden', hidden.shape)
    poolRowsBackward(
      { gradPooled, like: hidden, valid: batch.valid, offsets: batch.offsets },
      { kind: this.pooling },
      { out: { gradX: gradHidden } },
    )
    this.model.backward(context.trunk, gradHidden)
  }

  async save(directory: string): Promise<void> {
    mkdirSync(directory, { recursive: true })
    await writeModelFiles(directory, this.model.config, this.parameters(), 'reward', this.pooling)
  }

  dispose(): void {
    this.model.dispose()
  }
}

/** Where a model's tokenizer lies. */
export const tokenizerPath = (directory: string): string => join(directory, 'tokenizer.json')
