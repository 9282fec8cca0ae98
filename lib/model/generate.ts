/** Sampling from a transformer, many prompts at once, with a cache of rotated keys and values. */

import type { Device } from '../device.ts'
import { PrefgradError } from '../errors.ts'
import {
  add,
  embedding,
  gatherRows,
  linear,
  rmsNorm,
  rotary,
  rotaryAttention,
  sampleTokens,
  scatterRows,
  swiglu,
} from '../index.ts'
import { type Scope, scoped } from '../scope.ts'
import type { Tensor } from '../tensor.ts'
import type { Transformer } from './transformer.ts'

export interface GenerateOptions {
  /** Most tokens to add to a prompt. */
  maxTokens: number
  /** Divides the logits; 0 takes the most likely token. Default 1. */
  temperature?: number
  topK?: number
  topP?: number
  /** Key of the random numbers; the same seed and prompts give the same tokens. Default 0. */
  seed?: number
  /** Generation stops for a sequence at this token, which is kept as its last. */
  endOfText?: number
  /** Sequences sampled together. Default 128. */
  batchSize?: number
  signal?: AbortSignal
  /** Called now and then with the sequences finished so far. */
  onProgress?: (done: number, total: number) => void
}

export interface Completion {
  /** The tokens after the prompt. */
  tokens: Int32Array
  /** The sequence ended by itself, with `endOfText`. */
  ended: boolean
}

/** One layer's cache: [B, S, C] keys (rotated) and values. */
interface LayerCache {
  key: Tensor<'f32'>
  value: Tensor<'f32'>
}

/** State of one batch of sequences that grow in lockstep from their first token. */
class Decoder {
  readonly device: Device
  readonly #model: Transformer
  readonly #batch: number
  readonly #capacity: number
  readonly #caches: LayerCache[]
  #length = 0

  constructor(model: Transformer, batch: number, capacity: number) {
    const { config, arena } = model
    this.device = model.device
    this.#model = model
    this.#batch = batch
    this.#capacity = capacity
    const keyValueWidth = (config.width / config.heads) * config.keyValueHeads
    this.#caches = Array.from({ length: config.layers }, (_, l) => ({
      key: arena.take(`cache.key.${l}`, [batch, capacity, keyValueWidth]),
      value: arena.take(`cache.value.${l}`, [batch, capacity, keyValueWidth]),
    }))
  }

  /** Feeds the next T tokens of every sequence ([B, T], row-major) and returns the logits [B, V] after the last of them. */
  feed(scope: Scope, ids: Int32Array, T: number): Tensor<'f32'> {
    const { config, arena } = this.#model
    const B = this.#batch
    const N = B * T
    const { width, heads, keyValueHeads, hidden } = config
    const keyValueWidth = (width / heads) * keyValueHeads
    const start = this.#length
    this.#length += T
    const take = (name: string, ...shape: number[]) => arena.take(`decode.${name}`, shape)
    const w = (layer: number, part: string) => this.#model.weight(`model.layers.${layer}.${part}.weight`)
    const each = (of: (b: number, t: number) => number) =>
      scope.tensor(Int32Array.from({ length: N }, (_, i) => of(Math.floor(i / T), i % T)))
    const positions = each((_, t) => start + t)
    const rows = each((b, t) => b * this.#capacity + start + t)
    const keyLengths = scope.tensor(new Int32Array(B).fill(this.#length))
    const epsilon = { epsilon: config.normEpsilon }

    let x = take('x.0', N, width)
    let other = take('x.1', N, width)
    const [normed, inverseRms] = [take('normed', N, width), take('inverseRms', N)]
    const [query, key, value] = [
      take('query', N, width),
      take('key', N, keyValueWidth),
      take('value', N, keyValueWidth),
    ]
    const [mixed, logSum, projected] = [take('mixed', N, width), take('logSum', N, heads), take('projected', N, width)]
    const [gate, up] = [take('gate', N, hidden), take('up', N, hidden)]
    embedding({ table: this.#model.weight('model.embed_tokens.weight'), ids: scope.tensor(ids) }, {}, { out: { y: x } })
    for (let l = 0; l < config.layers; l++) {
      const cache = this.#caches[l]
      rmsNorm({ x, weight: w(l, 'input_layernorm') }, epsilon, { out: { y: normed, inverseRms } })
      linear({ x: normed, weight: w(l, 'self_attn.q_proj') }, {}, { out: { y: query } })
      linear({ x: normed, weight: w(l, 'self_attn.k_proj') }, {}, { out: { y: key } })
      linear({ x: normed, weight: w(l, 'self_attn.v_proj') }, {}, { out: { y: value } })
      rotary({ x: key, positions }, { heads: keyValueHeads, base: config.rotaryBase }, { out: { y: key } })
      scatterRows({ x: key, rows, into: cache.key })
      scatterRows({ x: value, rows, into: cache.value })
      rotaryAttention(
        { query: take('query', B, T, width), key: cache.key, value: cache.value, keyLengths },
        { heads, keyValueHeads, base: config.rotaryBase, keysRotated: true },
        { out: { y: take('mixed', B, T, width), logSum } },
      )
      linear({ x: mixed, weight: w(l, 'self_attn.o_proj') }, {}, { out: { y: projected } })
      add({ x, y: projected }, {}, { out: { z: other } })
      ;[x, other] = [other, x]
      rmsNorm({ x, weight: w(l, 'post_attention_layernorm') }, epsilon, { out: { y: normed, inverseRms } })
      linear({ x: normed, weight: w(l, 'mlp.gate_proj') }, {}, { out: { y: gate } })
      linear({ x: normed, weight: w(l, 'mlp.up_proj') }, {}, { out: { y: up } })
      swiglu({ gate, up }, {}, { out: { y: gate } })
      linear({ x: gate, weight: w(l, 'mlp.down_proj') }, {}, { out: { y: projected } })
      add({ x, y: projected }, {}, { out: { z: other } })
      ;[x, other] = [other, x]
    }
    const last = take('last', B, width)
    const lastRows = scope.tensor(Int32Array.from({ length: B }, (_, b) => b * T + T - 1))
    gatherRows({ x, rows: lastRows }, {}, { out: { y: last } })
    const final = take('final', B, width)
    rmsNorm({ x: last, weight: this.#model.weight('model.norm.weight') }, epsilon, {
      out: { y: final, inverseRms: take('finalRms', B) },
    })
    const logits = take('logits', B, config.vocabularySize)
    linear({ x: final, weight: this.#model.weight(this.#model.headName) }, {}, { out: { y: logits } })
    return logits
  }
}

/** The tokens [B] that follow what was fed so far; waits for the device once. */
const sampleNext = (
  decoder: Decoder,
  ids: Int32Array,
  T: number,
  options: GenerateOptions & { firstStream: number; counter: number },
): Promise<Int32Array> =>
  scoped(decoder.device, async (scope) => {
    const { temperature = 1, topK, topP, seed = 0, firstStream, counter } = options
    const logits = decoder.feed(scope, ids, T)
    const streams = scope.tensor(Int32Array.from({ length: logits.shape[0] }, (_, b) => firstStream + b))
    const settings = {
      temperature,
      seed,
      counter,
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
    }
    const { tokens } = scope.own(sampleTokens({ logits, streams }, settings))
    const [sampled] = await scope.device.read([tokens])
    return sampled
  })

const generateBatch = async (
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  firstStream: number,
  options: GenerateOptions,
): Promise<Completion[]> => {
  const { maxTokens, endOfText = -1, signal } = options
  const B = prompts.length
  const longest = Math.max(...prompts.map((prompt) => prompt.length))
  const shortest = Math.min(...prompts.map((prompt) => prompt.length))
  const decoder = new Decoder(model, B, longest + maxTokens)
  const tokens = prompts.map(() => [] as number[])
  const ended = new Uint8Array(B)
  const done = (b: number): boolean => ended[b] === 1 || tokens[b].length >= maxTokens

  let T = shortest
  let ids = new Int32Array(B * T)
  prompts.forEach((prompt, b) => {
    for (let t = 0; t < T; t++) ids[b * T + t] = prompt[t]
  })
  // Sequences grow in lockstep: a longer prompt is still being read while a shorter one is already answered.
  for (let position = shortest; ; position++) {
    const sampled = await sampleNext(decoder, ids, T, { ...options, firstStream, counter: position })
    T = 1
    ids = new Int32Array(B)
    for (let b = 0; b < B; b++) {
      if (position < prompts[b].length) {
        ids[b] = prompts[b][position]
        continue
      }
      const token = sampled[b]
      if (token < 0) {
        throw new PrefgradError('ERR_BAD_VALUE', `sequence ${firstStream + b} has logits that are not numbers.`, {
          op: 'generate',
          index: firstStream + b,
          fix: 'The model diverged: lower the learning rate, or load an earlier checkpoint.',
        })
      }
      ids[b] = token
      if (done(b)) continue
      tokens[b].push(token)
      if (token === endOfText) ended[b] = 1
    }
    let open = 0
    for (let b = 0; b < B; b++) if (!done(b)) open++
    if (open === 0) break
    if (position % 8 === 0) {
      // Timers, Ctrl-C and abort signals get their turn.
      await new Promise((resolve) => setImmediate(resolve))
      signal?.throwIfAborted()
    }
  }
  return tokens.map((list, b) => ({ tokens: Int32Array.from(list), ended: ended[b] === 1 }))
}

/**
 * Continues prompts (token ids, none empty) by sampling. Every prompt has its own stream of random numbers, numbered by its
 * place in `prompts`, so that batch sizes do not change what is sampled.
 *
 * @throws PrefgradError `ERR_ARGUMENT` for an empty prompt, `ERR_BAD_VALUE` when the model has diverged
 */
export const generate = async (
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions,
): Promise<Completion[]> => {
  prompts.forEach((prompt, index) => {
    if (prompt.length === 0) {
      throw new PrefgradError('ERR_ARGUMENT', `prompt ${index} is empty.`, {
        op: 'generate',
        arg: 'prompts',
        index,
        fix: 'Start it with at least one token, such as the end-of-text token.',
      })
    }
  })
  const { batchSize = 128, onProgress } = options
  const completions: Completion[] = []
  for (let start = 0; start < prompts.length; start += batchSize) {
    const batch = prompts.slice(start, start + batchSize)
    completions.push(...(await generateBatch(model, batch, start, options)))
    onProgress?.(completions.length, prompts.length)
  }
  return completions
}
