/** The models that whole steps are taken on, with weights that travel to the peers as inputs of the case. */

import type { PackedSequences } from '../../lib/data/index.ts'
import type { Device } from '../../lib/device.ts'
import { product } from '../../lib/dtype.ts'
import { tokenLogprobs } from '../../lib/index.ts'
import { DEMO_CONFIG, type ModelConfig } from '../../lib/model/config.ts'
import type { ParameterSpec } from '../../lib/model/parameters.ts'
import { TransformerPolicy } from '../../lib/model/policy.ts'
import { refuse } from '../../lib/refuse.ts'
import { Scope } from '../../lib/scope.ts'
import { responseRows } from '../../lib/train/rows.ts'
import { f32, i32, normals } from '../data.ts'
import type { Operand, OptionValue } from '../types.ts'

/** 29.5 million parameters. */
const LARGE_CONFIG: ModelConfig = {
  ...DEMO_CONFIG,
  vocabularySize: 8192,
  width: 512,
  layers: 8,
  heads: 8,
  keyValueHeads: 8,
  hidden: 1376,
  contextLength: 1024,
}

/** 7 thousand parameters: every part of the model, for tests. */
const TINY_CONFIG: ModelConfig = {
  ...DEMO_CONFIG,
  vocabularySize: 61,
  width: 16,
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  hidden: 32,
  tiedHead: false,
}

/** By millions of parameters, roughly. */
const CONFIGS: Readonly<Record<number, ModelConfig>> = { 0: TINY_CONFIG, 1: DEMO_CONFIG, 30: LARGE_CONFIG }

/** @throws PrefgradError `ERR_USAGE` for a size that no model has */
export const configOf = (millions: number): ModelConfig =>
  CONFIGS[millions] ??
  refuse('ERR_USAGE', `there is no model of ${millions} million parameters.`, {
    arg: 'shape',
    value: millions,
    fix: `The first number of the shape is ${Object.keys(CONFIGS).join(' or ')}.`,
  })

/** Heads start away from 0, so that their gradients reach the trunk. */
const draw = ({ shape, init }: ParameterSpec, seed: number): Float32Array<ArrayBuffer> => {
  const size = product(shape)
  const gain = 1 / Math.sqrt(shape[shape.length - 1])
  return init === 'ones' ? normals(size, seed, 0.1, 1) : normals(size, seed, init === 0 ? gain : init)
}

/** A model with seeded weights. */
export const seededPolicy = (
  device: Device,
  config: ModelConfig,
  { seed, valueHead = false }: { seed: number; valueHead?: boolean },
): TransformerPolicy => {
  const policy = new TransformerPolicy(device, config, { valueHead })
  policy.parameters().specs.forEach((spec, i) => {
    policy
      .parameters()
      .get(spec.name)
      .write(draw(spec, seed + i))
  })
  return policy
}

/** Weights by the names that a file of the model has. */
export const weightsOf = (policy: TransformerPolicy): Record<string, Operand> =>
  Object.fromEntries(
    policy.parameters().specs.map(({ name, shape }) => [name, f32(policy.parameters().get(name).data.slice(), shape)]),
  )

/** Gradients under the names of the weights. */
export const gradientsOf = (policy: TransformerPolicy): Record<string, Float32Array> =>
  Object.fromEntries(policy.parameters().specs.map(({ name }) => [name, policy.model.gradient(name).data.slice()]))

/** The model's sizes as options of the case. */
export const configOptions = ({ contextLength, ...config }: ModelConfig): Record<string, OptionValue> => config

/**
 * Floating-point operations of the matrix products of a forward pass, a multiply-add being two: what no implementation can do
 * without. Each token meets each weight of the layers, each row whose logits are wanted the head, and each query the keys up to
 * its own, once for the score and once for the mixture. A backward pass takes twice as many.
 */
export const forwardOperations = (
  { width, layers, heads, keyValueHeads, hidden, vocabularySize }: ModelConfig,
  { sequences, length, rows }: { sequences: number; length: number; rows: number },
): number => {
  const keyValueWidth = (width / heads) * keyValueHeads
  const weights = 2 * width * width + 2 * width * keyValueWidth + 3 * width * hidden
  const keys = (sequences * length * (length + 1)) / 2
  return 2 * (layers * (sequences * length * weights + 2 * width * keys) + rows * vocabularySize * width)
}

/** A batch as peers get it: tokens, sequences, the rows that predict a response token, and which one. */
export const batchInputs = (packed: PackedSequences): Record<string, Operand> => {
  const rows = Int32Array.from(packed.valid.keys()).filter((row) => packed.valid[row] === 1)
  return {
    ids: i32(packed.tokens as Int32Array<ArrayBuffer>),
    offsets: i32(packed.offsets as Int32Array<ArrayBuffer>),
    rows: i32(rows),
    targets: i32(rows.map((row) => packed.targets[row])),
  }
}

/** What a model says of every response token, one after the other. */
export interface Responses {
  logprob: Float32Array
  /** With a value head. */
  values?: Float32Array
  /** Where each sequence starts among them, and the end. */
  starts: Int32Array
}

export const responsesOf = (policy: TransformerPolicy, packed: PackedSequences): Responses => {
  const scope = new Scope(policy.device)
  try {
    const { batch, targets, starts } = responseRows(scope, packed)
    const { logits, values } = policy.forward(batch)
    const { logprob } = scope.own(tokenLogprobs({ logits, tokens: targets }))
    return {
      logprob: logprob.data.slice(),
      starts,
      ...(values === undefined ? {} : { values: values.data.slice() }),
    }
  } finally {
    scope.dispose()
  }
}
