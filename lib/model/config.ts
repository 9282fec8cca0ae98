import { refuse } from '../refuse.ts'

/** Sizes of a Llama-shaped transformer. Every one is a whole number unless said. */
export interface ModelConfig {
  /** Rows of the embedding table (V). */
  vocabularySize: number
  /** Width of the residual stream (H). */
  width: number
  layers: number
  /** Query heads; divides width, and width / heads is even. */
  heads: number
  /** Key and value heads; divides heads. */
  keyValueHeads: number
  /** Width of the SwiGLU block. */
  hidden: number
  /** Rotary base (theta). */
  rotaryBase: number
  /** Added to the mean square in every norm. */
  normEpsilon: number
  /** The output head is the embedding table itself. */
  tiedHead: boolean
  /** Longest sequence that the model was made for. */
  contextLength: number
}

/** The built-in policy of the demo: about 1.06 million parameters. */
export const DEMO_CONFIG: ModelConfig = {
  vocabularySize: 2048,
  width: 128,
  layers: 4,
  heads: 4,
  keyValueHeads: 4,
  hidden: 352,
  rotaryBase: 10000,
  normEpsilon: 1e-5,
  tiedHead: true,
  contextLength: 256,
}

/**
 * Fills a partial configuration with defaults and checks it.
 *
 * @throws PrefgradError `ERR_CONFIG` naming the size that does not fit
 */
export const checkConfig = (given: Partial<ModelConfig>): ModelConfig => {
  const width = given.width ?? DEMO_CONFIG.width
  const heads = given.heads ?? DEMO_CONFIG.heads
  const config: ModelConfig = {
    ...DEMO_CONFIG,
    keyValueHeads: heads,
    hidden: Math.round((width * 8) / 3 / 32) * 32,
    ...given,
    width,
    heads,
  }
  for (const name of [
    'vocabularySize',
    'width',
    'layers',
    'heads',
    'keyValueHeads',
    'hidden',
    'contextLength',
  ] as const) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 1) {
      refuse('ERR_CONFIG', `${name} must be a whole number above 0, and is ${config[name]}.`, {
        arg: name,
        value: config[name],
      })
    }
  }
  if (config.width % config.heads !== 0 || (config.width / config.heads) % 2 !== 0) {
    refuse('ERR_CONFIG', `width ${config.width} over ${config.heads} heads is not an even head size.`, {
      arg: 'heads',
      value: config.heads,
      fix: 'Choose a width that is an even multiple of the heads.',
    })
  }
  if (config.heads % config.keyValueHeads !== 0) {
    refuse('ERR_CONFIG', `keyValueHeads ${config.keyValueHeads} does not divide heads ${config.heads}.`, {
      arg: 'keyValueHeads',
      value: config.keyValueHeads,
    })
  }
  return config
}
