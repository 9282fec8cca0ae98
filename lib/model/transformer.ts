/**
 * A Llama-shaped transformer, forward and backward written out over the ops: RMSNorm, rotary grouped-query attention, SwiGLU,
 * residuals. Sequences are packed: token i of sequence b is row offsets[b] + i.
 */
import type { Device } from '../device.ts'
import {
  add,
  embedding,
  embeddingBackward,
  fill,
  gatherRows,
  gatherRowsBackward,
  linear,
  linearBackward,
  rmsNorm,
  rmsNormBackward,
  rotaryAttention,
  rotaryAttentionBackward,
  swiglu,
  swigluBackward,
} from '../index.ts'
import type { Tensor } from '../tensor.ts'
import { Arena } from './arena.ts'
import type { ModelConfig } from './config.ts'
import { type ParameterSpec, Parameters } from './parameters.ts'

type F32 = Tensor<'f32'>

/** Packed sequences on the model's device. */
export interface PackedTokens {
  /** Token per row, i32 [N]. */
  ids: Tensor<'i32'>
  /** i32 [B+1]. */
  offsets: Tensor<'i32'>
}

/** What a forward pass keeps for its backward pass; valid until the next forward pass of the same model. */
export interface TrunkContext {
  tokens: PackedTokens
  /** Residual stream that enters each layer, and the last one that leaves. */
  readonly kept: readonly LayerContext[]
  last: F32
  lastInverseRms: F32
}

interface LayerContext {
  x: F32
  normed: F32
  inverseRms: F32
  query: F32
  key: F32
  value: F32
  mixed: F32
  logSum: F32
  middle: F32
  middleNormed: F32
  middleInverseRms: F32
  gate: F32
  up: F32
  gated: F32
}

const layerName = (layer: number, part: string): string => `model.layers.${layer}.${part}.weight`

/** Names and shapes as Hugging Face's Llama has them, so that files can be read elsewhere. */
export const trunkSpecs = (config: ModelConfig): ParameterSpec[] => {
  const { width, hidden, layers } = config
  const keyValueWidth = (width / config.heads) * config.keyValueHeads
  // Projections into the residual stream start smaller, so that its variance does not grow with depth.
  const normal = 0.02
  const residual = normal / Math.sqrt(2 * layers)
  const matrix = (name: string, rows: number, columns: number, init = normal): ParameterSpec => ({
    name,
    shape: [rows, columns],
    init,
    decays: true,
  })
  const gain = (name: string): ParameterSpec => ({ name, shape: [width], init: 'ones', decays: false })
  const specs = [matrix('model.embed_tokens.weight', config.vocabularySize, width)]
  for (let l = 0; l < layers; l++) {
    specs.push(
      gain(layerName(l, 'input_layernorm')),
      matrix(layerName(l, 'self_attn.q_proj'), width, width),
      matrix(layerName(l, 'self_attn.k_proj'), keyValueWidth, width),
      matrix(layerName(l, 'self_attn.v_proj'), keyValueWidth, width),
      matrix(layerName(l, 'self_attn.o_proj'), width, width, residual),
      gain(layerName(l, 'post_attention_layernorm')),
      matrix(layerName(l, 'mlp.gate_proj'), hidden, width),
      matrix(layerName(l, 'mlp.up_proj'), hidden, width),
      matrix(layerName(l, 'mlp.down_proj'), width, hidden, residual),
    )
  }
  specs.push(gain('model.norm.weight'))
  if (!config.tiedHead) specs.push(matrix('lm_head.weight', config.vocabularySize, width))
  return specs
}

/** Parameters, activations and gradients of one transformer with optional heads of its own. */
export class Transformer {
  readonly config: ModelConfig
  readonly device: Device
  readonly parameters: Parameters
  readonly arena: Arena
  #gradients: F32 | undefined
  readonly #gradientViews = new Map<string, F32>()

  /** `heads`: parameters beside the trunk's (a value or a reward head). */
  constructor(device: Device, config: ModelConfig, heads: readonly ParameterSpec[] = []) {
    this.config = config
    this.device = device
    this.parameters = new Parameters(device, [...trunkSpecs(config), ...heads])
    this.arena = new Arena(device)
  }

  /** All gradients, laid out as the parameters; made and zeroed at first use. */
  get gradients(): F32 {
    this.#gradients ??= this.device.zeros(this.parameters.flat.shape)
    return this.#gradients
  }

  zeroGradients(): void {
    fill({ x: this.gradients }, { value: 0 })
  }

  weight(name: string): F32 {
    return this.parameters.get(name)
  }

  gradient(name: string): F32 {
    let view = this.#gradientViews.get(name)
    if (view === undefined) {
      view = this.parameters.within(this.gradients, name)
      this.#gradientViews.set(name, view)
    }
    return view
  }

  get headName(): string {
    return this.config.tiedHead ? 'model.embed_tokens.weight' : 'lm_head.weight'
  }

  /**
   * Final hidden states [N, H] of packed sequences. With `keep`, everything that {@link backward} needs stays in the arena
   * until the next forward pass; without, layers share their memory.
   */
  forward(tokens: PackedTokens, keep: boolean): { hidden: F32; context: TrunkContext } {
    const { arena, config } = this
    const { heads, keyValueHeads, width, hidden } = config
    const N = tokens.ids.size
    const keyValueWidth = (width / heads) * keyValueHeads
    const kept: LayerContext[] = []
    const attention = { heads, keyValueHeads, base: config.rotaryBase }
    const epsilon = { epsilon: config.normEpsilon }
    const take = (name: string, ...shape: number[]) => arena.take(name, shape)

    let x = take('x.0', N, width)
    embedding({ table: this.weight('model.embed_tokens.weight'), ids: tokens.ids }, {}, { out: { y: x } })
    for (let l = 0; l < config.layers; l++) {
      const slot = keep ? l : 0
      const w = (part: string) => this.weight(layerName(l, part))
      const c: LayerContext = {
        x,
        normed: take(`normed.${slot}`, N, width),
        inverseRms: take(`inverseRms.${slot}`, N),
        query: take(`query.${slot}`, N, width),
        key: take(`key.${slot}`, N, keyValueWidth),
        value: take(`value.${slot}`, N, keyValueWidth),
        mixed: take(`mixed.${slot}`, N, width),
        logSum: take(`logSum.${slot}`, N, heads),
        middle: take(`middle.${slot}`, N, width),
        middleNormed: take(`middleNormed.${slot}`, N, width),
        middleInverseRms: take(`middleInverseRms.${slot}`, N),
        gate: take(`gate.${slot}`, N, hidden),
        up: take(`up.${slot}`, N, hidden),
        gated: take(`gated.${slot}`, N, hidden),
      }
      const projected = take('projected', N, width)
      rmsNorm({ x, weight: w('input_layernorm') }, epsilon, { out: { y: c.normed, inverseRms: c.inverseRms } })
      linear({ x: c.normed, weight: w('self_attn.q_proj') }, {}, { out: { y: c.query } })
      linear({ x: c.normed, weight: w('self_attn.k_proj') }, {}, { out: { y: c.key } })
      linear({ x: c.normed, weight: w('self_attn.v_proj') }, {}, { out: { y: c.value } })
      rotaryAttention({ query: c.query, key: c.key, value: c.value, offsets: tokens.offsets }, attention, {
        out: { y: c.mixed, logSum: c.logSum },
      })
      linear({ x: c.mixed, weight: w('self_attn.o_proj') }, {}, { out: { y: projected } })
      add({ x, y: projected }, {}, { out: { z: c.middle } })
      rmsNorm({ x: c.middle, weight: w('post_attention_layernorm') }, epsilon, {
        out: { y: c.middleNormed, inverseRms: c.middleInverseRms },
      })
      linear({ x: c.middleNormed, weight: w('mlp.gate_proj') }, {}, { out: { y: c.gate } })
      linear({ x: c.middleNormed, weight: w('mlp.up_proj') }, {}, { out: { y: c.up } })
      swiglu({ gate: c.gate, up: c.up }, {}, { out: { y: c.gated } })
      linear({ x: c.gated, weight: w('mlp.down_proj') }, {}, { out: { y: projected } })
      const next = take(`x.${keep ? l + 1 : (l + 1) % 2}`, N, width)
      add({ x: c.middle, y: projected }, {}, { out: { z: next } })
      x = next
      if (keep) kept.push(c)
    }
    const finalHidden = take('hidden', N, width)
    const lastInverseRms = take('lastInverseRms', N)
    rmsNorm({ x, weight: this.weight('model.norm.weight') }, epsilon, {
      out: { y: finalHidden, inverseRms: lastInverseRms },
    })
    return { hidden: finalHidden, context: { tokens, kept, last: x, lastInverseRms } }
  }

  /** Adds the gradients of every trunk parameter up from the gradient of the final hidden states [N, H], which it overwrites. */
  backward(context: TrunkContext, gradHidden: F32): void {
    const { arena, config } = this
    const { heads, keyValueHeads, width, hidden } = config
    const N = context.tokens.ids.size
    const keyValueWidth = (width / heads) * keyValueHeads
    const attention = { heads, keyValueHeads, base: config.rotaryBase }
    const take = (name: string, ...shape: number[]) => arena.take(name, shape)
    const g = take('grad.x', N, width)
    const gNormed = take('grad.normed', N, width)
    const gWide = {
      gate: take('grad.gate', N, hidden),
      up: take('grad.up', N, hidden),
      gated: take('grad.gated', N, hidden),
    }
    const gQuery = take('grad.query', N, width)
    const gKey = take('grad.key', N, keyValueWidth)
    const gValue = take('grad.value', N, keyValueWidth)
    const gMixed = take('grad.mixed', N, width)
    /** gradX into `into` (added up after the first), gradWeight always added up. */
    const linearBack = (gradY: F32, x: F32, name: string, into: F32, addUp: boolean): void => {
      linearBackward(
        { gradY, x, weight: this.weight(name) },
        { accumulate: addUp ? ['gradX', 'gradWeight'] : ['gradWeight'] },
        { out: { gradX: into, gradWeight: this.gradient(name) } },
      )
    }
    const normBack = (gradY: F32, x: F32, inverseRms: F32, name: string, addUp: boolean): void => {
      rmsNormBackward(
        { gradY, x, weight: this.weight(name), inverseRms },
        { accumulate: addUp ? ['gradX', 'gradWeight'] : ['gradWeight'] },
        { out: { gradX: g, gradWeight: this.gradient(name) } },
      )
    }

    normBack(gradHidden, context.last, context.lastInverseRms, 'model.norm.weight', false)
    for (let l = config.layers - 1; l >= 0; l--) {
      const c = context.kept[l]
      const name = (part: string) => layerName(l, part)
      // g is the gradient of the stream that leaves the layer, then of the one in its middle, then of the one that enters.
      linearBack(g, c.gated, name('mlp.down_proj'), gWide.gated, false)
      swigluBackward(
        { gradY: gWide.gated, gate: c.gate, up: c.up },
        {},
        { out: { gradGate: gWide.gate, gradUp: gWide.up } },
      )
      linearBack(gWide.gate, c.middleNormed, name('mlp.gate_proj'), gNormed, false)
      linearBack(gWide.up, c.middleNormed, name('mlp.up_proj'), gNormed, true)
      normBack(gNormed, c.middle, c.middleInverseRms, name('post_attention_layernorm'), true)
      linearBack(g, c.mixed, name('self_attn.o_proj'), gMixed, false)
      rotaryAttentionBackward(
        {
          gradY: gMixed,
          query: c.query,
          key: c.key,
          value: c.value,
          y: c.mixed,
          logSum: c.logSum,
          offsets: context.tokens.offsets,
        },
        attention,
        { out: { gradQuery: gQuery, gradKey: gKey, gradValue: gValue } },
      )
      linearBack(gQuery, c.normed, name('self_attn.q_proj'), gNormed, false)
      linearBack(gKey, c.normed, name('self_attn.k_proj'), gNormed, true)
      linearBack(gValue, c.normed, name('self_attn.v_proj'), gNormed, true)
      normBack(gNormed, c.x, c.inverseRms, name('input_layernorm'), true)
    }
    embeddingBackward(
      { gradY: g, ids: context.tokens.ids },
      { vocabularySize: config.vocabularySize, accumulate: true },
      { out: { gradTable: this.gradient('model.embed_tokens.weight') } },
    )
  }

  /** Logits [R, V] of picked rows of the hidden states. */
  logits(hidden: F32, rows: Tensor<'i32'>): { picked: F32; logits: F32 } {
    const picked = this.arena.take('picked', [rows.size, this.config.width])
    const logits = this.arena.take('logits', [rows.size, this.config.vocabularySize])
    gatherRows({ x: hidden, rows }, {}, { out: { y: picked } })
    linear({ x: picked, weight: this.weight(this.headName) }, {}, { out: { y: logits } })
    return { picked, logits }
  }

  /**
   * Gradient of the hidden states [N, H] from that of picked logits [R, V]; adds the head's own gradient up. `gradPicked`, if
   * given, is a gradient of the picked rows from another head, which this one is added to.
   */
  logitsBackward(gradLogits: F32, picked: F32, rows: Tensor<'i32'>, hiddenRows: number, gradPicked?: F32): F32 {
    const into = gradPicked ?? this.arena.take('grad.picked', picked.shape)
    linearBackward(
      { gradY: gradLogits, x: picked, weight: this.weight(this.headName) },
      { accumulate: gradPicked === undefined ? ['gradWeight'] : ['gradX', 'gradWeight'] },
      { out: { gradX: into, gradWeight: this.gradient(this.headName) } },
    )
    return this.scatter(into, rows, hiddenRows)
  }

  /** Gradients of picked rows put back where the rows came from, zeros elsewhere. */
  scatter(gradPicked: F32, rows: Tensor<'i32'>, hiddenRows: number): F32 {
    const gradHidden = this.arena.take('grad.hidden', [hiddenRows, this.config.width])
    gatherRowsBackward({ gradY: gradPicked, rows }, { count: hiddenRows }, { out: { gradX: gradHidden } })
    return gradHidden
  }

  dispose(): void {
    this.arena.dispose()
    this.parameters.dispose()
    for (const view of this.#gradientViews.values()) view.dispose()
    this.#gradients?.dispose()
  }
}
