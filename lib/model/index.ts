/**
 * The built-in policy: a Llama-shaped transformer of any size made of the library's own ops, its tokenizer, generation and
 * files.
 *
 * @module
 */
export { fromBf16, toBf16 } from './bf16.ts'
export { checkConfig, DEMO_CONFIG, type ModelConfig } from './config.ts'
export { type Completion, type GenerateOptions, generate } from './generate.ts'
export { type ParameterSpec, Parameters } from './parameters.ts'
export {
  type Policy,
  type PolicyBatch,
  type PolicyOutput,
  type Pooling,
  RewardModel,
  type ScoreBatch,
  TransformerPolicy,
} from './policy.ts'
export { readSafetensors, writeSafetensors } from './safetensors.ts'
export { Tokenizer, trainTokenizer } from './tokenizer.ts'
export { type PackedTokens, Transformer, type TrunkContext } from './transformer.ts'
