/** Options that several commands share. */
import type { OptionSpec } from './schema.ts'

/** Where and how a command runs; what comes out is the same. */
export const machine = {
  device: {
    kind: 'text',
    value: 'NAME',
    default: 'auto',
    incidental: true,
    doc: 'cuda, webgpu, cpu, or auto: the first of these that is there (webgpu in hardware).',
  },
  threads: {
    kind: 'integer',
    min: 1,
    max: 256,
    otherwise: 'all cores',
    incidental: true,
    doc: 'Threads of the cpu device; the bits do not depend on it.',
  },
  json: {
    kind: 'flag',
    incidental: true,
    doc: 'Prints one JSON object per record on standard output, and nothing else.',
  },
} as const satisfies Record<string, OptionSpec>

export const seed = {
  kind: 'integer',
  min: 0,
  default: 0,
  doc: 'Same seed, data and instruction set: same result, bit for bit.',
} as const satisfies OptionSpec

export const model = {
  kind: 'path',
  value: 'DIR',
  required: true,
  doc: 'Folder of the model to start from (config.json, model.safetensors, tokenizer.json).',
} as const satisfies OptionSpec

export const badLines = {
  kind: 'choice',
  choices: ['error', 'skip'],
  default: 'error',
  doc: 'What a line that cannot be used does: refuse the file, or be left out and counted.',
} as const satisfies OptionSpec

export const truncate = {
  kind: 'choice',
  choices: ['drop', 'prompt-left', 'error'],
  default: 'drop',
  doc: 'Too long examples: leave out, cut the beginning of the prompt, or refuse. A response is never cut.',
} as const satisfies OptionSpec

export const maxLength = {
  kind: 'integer',
  min: 2,
  otherwise: 'what the model was made for',
  doc: 'Longest example in tokens, prompt and response together.',
} as const satisfies OptionSpec

export const evalData = {
  kind: 'paths',
  value: 'FILE',
  doc: 'Held-out data; a prompt that is also in --data is refused.',
} as const satisfies OptionSpec

export const heldOut = {
  kind: 'number',
  min: 0,
  below: 1,
  default: 0.1,
  doc: 'Without --eval-data: share of the prompts to hold out, chosen by a hash of the prompt.',
} as const satisfies OptionSpec

/** What a training run reads beside its data. */
export const encoding = { evalData, heldOut, maxLength, truncate, badLines } as const

/** What a run leaves behind, and how it goes on. */
export const run = {
  out: {
    kind: 'path',
    value: 'DIR',
    required: true,
    incidental: true,
    doc: 'Folder for the result: the model, metrics.jsonl, checkpoints and run.json.',
  },
  resume: {
    kind: 'flag',
    incidental: true,
    doc: 'Goes on from the newest checkpoint in --out, as if the run had never stopped.',
  },
  dryRun: {
    kind: 'flag',
    incidental: true,
    doc: 'Reads and checks everything, shows one example and the plan, writes nothing, and stops.',
  },
  saveEvery: {
    kind: 'integer',
    min: 1,
    default: 50,
    incidental: true,
    doc: 'Steps between two checkpoints.',
  },
  labeller: {
    kind: 'text',
    value: 'TEXT',
    incidental: true,
    otherwise: 'unknown',
    doc: 'Who judged or wrote this data, for run.json.',
  },
  guidelines: {
    kind: 'text',
    value: 'TEXT',
    incidental: true,
    otherwise: 'unknown',
    doc: 'What they were asked to do, or where that is written, for run.json.',
  },
} as const satisfies Record<string, OptionSpec>

/** The optimizer's settings, with the defaults of one trainer. */
export const optimizer = (defaults: { lr: number; weightDecay?: number; warmupRatio?: number }) =>
  ({
    lr: { kind: 'number', above: 0, default: defaults.lr, doc: 'Highest learning rate.' },
    warmupRatio: {
      kind: 'number',
      min: 0,
      max: 1,
      default: defaults.warmupRatio ?? 0.05,
      doc: 'Share of all steps over which the rate rises to --lr.',
    },
    weightDecay: {
      kind: 'number',
      min: 0,
      default: defaults.weightDecay ?? 0,
      doc: 'Decoupled decay of matrices (AdamW).',
    },
    maxNorm: {
      kind: 'number',
      above: 0,
      default: 1,
      doc: 'Largest norm of the gradient; larger ones are scaled down.',
    },
    maxTokens: {
      kind: 'integer',
      min: 1,
      default: 16384,
      doc: 'Most tokens in memory at once; larger batches are added up from several passes.',
    },
  }) as const satisfies Record<string, OptionSpec>

/** What the trainers over a fixed set of examples have in common. */
export const training = (
  unit: string,
  defaults: { lr: number; batchSize: number; epochs: number; weightDecay?: number; warmupRatio?: number },
) =>
  ({
    epochs: { kind: 'integer', min: 1, default: defaults.epochs, doc: 'Passes over the data.' },
    batchSize: { kind: 'integer', min: 1, default: defaults.batchSize, doc: `${unit} per optimizer step.` },
    maxSteps: { kind: 'integer', min: 1, otherwise: 'all', doc: 'Ends the run after this many optimizer steps.' },
    schedule: {
      kind: 'choice',
      choices: ['cosine', 'linear', 'constant'],
      default: 'cosine',
      doc: 'Learning rate after the warm-up; the first two fall to a tenth of --lr.',
    },
    ...optimizer(defaults),
    seed,
  }) as const satisfies Record<string, OptionSpec>

/** How tokens are drawn. */
export const sampling = (defaults: { maxNewTokens: number }) =>
  ({
    maxNewTokens: { kind: 'integer', min: 1, default: defaults.maxNewTokens, doc: 'Most tokens to add to a prompt.' },
    temperature: {
      kind: 'number',
      min: 0,
      default: 1,
      doc: 'Divides the logits before a token is drawn; 0 takes the most likely one.',
    },
    topK: { kind: 'integer', min: 1, otherwise: 'all', doc: 'Draws among this many most likely tokens.' },
    topP: {
      kind: 'number',
      above: 0,
      max: 1,
      otherwise: 'all',
      doc: 'Draws among the most likely tokens that together have this probability.',
    },
  }) as const satisfies Record<string, OptionSpec>
