/** A model as files: `config.json` in the words of Hugging Face's Llama, and `model.safetensors`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { product } from '../dtype.ts'
import { PrefgradError } from '../errors.ts'
import { writeFileAtomic } from '../train/atomic.ts'
import { fromBf16, toBf16 } from './bf16.ts'
import { checkConfig, type ModelConfig } from './config.ts'
import type { Parameters } from './parameters.ts'
import { readSafetensors, type SafetensorsInput, writeSafetensors } from './safetensors.ts'

/** A language model, or a reward model with its score head. */
export type Kind = 'causal-lm' | 'reward'

/** Written for people and for other libraries; read back strictly. */
const configJson = (config: ModelConfig, kind: Kind, pooling: string | undefined): string =>
  `${JSON.stringify(
    {
      architectures: [kind === 'reward' ? 'LlamaForSequenceClassification' : 'LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: config.vocabularySize,
      hidden_size: config.width,
      num_hidden_layers: config.layers,
      num_attention_heads: config.heads,
      num_key_value_heads: config.keyValueHeads,
      intermediate_size: config.hidden,
      max_position_embeddings: config.contextLength,
      rope_theta: config.rotaryBase,
      rms_norm_eps: config.normEpsilon,
      tie_word_embeddings: config.tiedHead,
      hidden_act: 'silu',
      attention_bias: false,
      mlp_bias: false,
      ...(pooling === undefined ? {} : { prefgrad_pooling: pooling }),
    },
    null,
    2,
  )}\n`

/**
 * Reads a `config.json` in the words of Hugging Face's Llama.
 *
 * @throws PrefgradError `ERR_FILE` when it is missing, no JSON, or describes another shape of model; `ERR_CONFIG` for a
 * size that does not fit.
 */
export const readConfig = (path: string): { config: ModelConfig; kind: Kind; pooling: 'mean' | 'last' } => {
  let json: Record<string, unknown>
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new PrefgradError('ERR_FILE', `${path} is no model configuration: ${(cause as Error).message}.`, {
      arg: path,
      fix: 'Give the folder that `prefgrad pretrain` or `prefgrad sft` wrote.',
      cause,
    })
  }
  if (
    json?.model_type !== 'llama' ||
    json.attention_bias === true ||
    json.mlp_bias === true ||
    (json.rope_scaling ?? null) !== null
  ) {
    throw new PrefgradError(
      'ERR_FILE',
      `${path} describes a model of another shape (model_type ${json?.model_type}).`,
      {
        arg: path,
        fix: 'Only Llama-shaped models without biases and rope scaling can be read.',
      },
    )
  }
  const number = (name: string): number => json[name] as number
  const config = checkConfig({
    vocabularySize: number('vocab_size'),
    width: number('hidden_size'),
    layers: number('num_hidden_layers'),
    heads: number('num_attention_heads'),
    keyValueHeads: (json.num_key_value_heads as number | undefined) ?? number('num_attention_heads'),
    hidden: number('intermediate_size'),
    contextLength: number('max_position_embeddings'),
    rotaryBase: (json.rope_theta as number | undefined) ?? 10000,
    normEpsilon: (json.rms_norm_eps as number | undefined) ?? 1e-6,
    tiedHead: json.tie_word_embeddings === true,
  })
  const reward = Array.isArray(json.architectures) && json.architectures[0] === 'LlamaForSequenceClassification'
  return { config, kind: reward ? 'reward' : 'causal-lm', pooling: json.prefgrad_pooling === 'last' ? 'last' : 'mean' }
}

/** Writes both files, each whole or not at all. Weights in f32, or in bf16 at half the size. */
export const writeModelFiles = async (
  directory: string,
  config: ModelConfig,
  parameters: Parameters,
  kind: Kind,
  pooling?: string,
  dtype: 'F32' | 'BF16' = 'F32',
): Promise<void> => {
  const tensors: Record<string, SafetensorsInput> = {}
  const values = await parameters.device.read(parameters.specs.map(({ name }) => parameters.get(name)))
  parameters.specs.forEach(({ name, shape }, i) => {
    tensors[name] =
      dtype === 'BF16'
        ? { dtype, shape: [...shape], data: toBf16(values[i]) }
        : { dtype, shape: [...shape], data: values[i] }
  })
  await writeSafetensors(join(directory, 'model.safetensors'), tensors, { format: 'pt' })
  await writeFileAtomic(join(directory, 'config.json'), configJson(config, kind, pooling))
}

/** Reads a folder; `fill` writes the weights into parameters that were made for `config`. */
export const readModelFiles = (
  directory: string,
): {
  config: ModelConfig
  pooling: 'mean' | 'last'
  fill: (parameters: Parameters, mayBeMissing: readonly string[]) => void
} => {
  const { config, pooling } = readConfig(join(directory, 'config.json'))
  const path = join(directory, 'model.safetensors')
  const { tensors } = readSafetensors(path)
  const fill = (parameters: Parameters, mayBeMissing: readonly string[]): void => {
    for (const { name, shape } of parameters.specs) {
      const tensor = tensors.get(name)
      if (tensor === undefined) {
        if (mayBeMissing.includes(name)) continue
        throw new PrefgradError('ERR_FILE', `${path} has no tensor ${name}.`, {
          arg: path,
          fix: 'The weights do not belong to config.json.',
        })
      }
      if (
        tensor.shape.length !== shape.length ||
        product(tensor.shape) !== product(shape) ||
        tensor.shape[0] !== shape[0]
      ) {
        throw new PrefgradError(
          'ERR_FILE',
          `${path}: ${name} has shape [${tensor.shape}], and config.json wants [${shape}].`,
          { arg: path },
        )
      }
      if (tensor.dtype === 'BF16') parameters.get(name).write(fromBf16(tensor.data as Uint16Array))
      else if (tensor.dtype === 'F32') parameters.get(name).write(tensor.data as Float32Array)
      else
        throw new PrefgradError('ERR_FILE', `${path}: ${name} is ${tensor.dtype}, and must be F32 or BF16.`, {
          arg: path,
        })
    }
  }
  return { config, pooling, fill }
}
