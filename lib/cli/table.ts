/** Every command as data. `commands/<name>.ts` holds what it does. */
import { table } from '../spec/index.ts'
import {
  badLines,
  encoding,
  evalData,
  machine,
  maxLength,
  model,
  run,
  sampling,
  seed,
  training,
  truncate,
} from './options.ts'
import { ppo } from './ppo_options.ts'
import type { CommandSpec, OptionSpec } from './schema.ts'

const PAIRS =
  'Preference pairs, JSONL or gzip: { prompt, chosen, rejected }, dialogues, or message lists; see the README.'
const RESUMING = 'Ctrl-C saves and says how to go on; a second one quits at once.'

const mergeAnnotators = {
  kind: 'flag',
  doc: 'Rows of several annotators on one pair become one pair with their mean preference.',
} as const satisfies OptionSpec

const labelSmoothing = {
  kind: 'number',
  min: 0,
  below: 0.5,
  otherwise: 'none',
  doc: 'Assumed share of wrong labels.',
} as const satisfies OptionSpec

export const commands = {
  tokenizer: {
    summary: 'trains a byte-level BPE tokenizer on text',
    example: '--data book.txt --vocabulary-size 2048 --out tokenizer.json',
    options: {
      Data: {
        data: { kind: 'paths', value: 'FILE', required: true, doc: 'Plain text, or JSONL with { text }; gzip too.' },
        badLines,
      },
      Tokenizer: {
        vocabularySize: {
          kind: 'integer',
          min: 257,
          default: 2048,
          doc: 'Tokens in all: 256 bytes, the end-of-text token, and merges.',
        },
      },
      Run: {
        out: { kind: 'path', value: 'FILE', required: true, doc: 'The file to write; an existing one is refused.' },
        dryRun: run.dryRun,
        json: machine.json,
      },
    },
  },
  pretrain: {
    summary: 'trains a fresh language model on plain text',
    example: '--data books/*.txt --width 128 --layers 4 --epochs 8 --out base',
    notes: [
      'Documents (a text file, or a line of JSONL) are joined by the end-of-text token and cut into windows. ' +
        'Whole documents are held out, and the perplexity is theirs.',
      RESUMING,
    ],
    options: {
      Data: {
        data: { kind: 'paths', value: 'FILE', required: true, doc: 'Plain text, or JSONL with { text }; gzip too.' },
        evalData: { ...evalData, doc: 'Held-out documents.' },
        heldOut: {
          ...encoding.heldOut,
          default: 0.05,
          doc: 'Without --eval-data: share of the documents to hold out, chosen by a hash.',
        },
        maxLength: {
          kind: 'integer',
          min: 2,
          default: 128,
          doc: 'Length of a window, and the model’s context length.',
        },
        badLines,
      },
      Model: {
        tokenizer: {
          kind: 'path',
          value: 'FILE',
          otherwise: 'trained on the training documents',
          doc: 'A tokenizer.json of `prefgrad tokenizer`.',
        },
        vocabularySize: {
          kind: 'integer',
          min: 257,
          default: 2048,
          doc: 'Size of the tokenizer that is trained when none is given.',
        },
        config: {
          kind: 'path',
          value: 'FILE',
          otherwise: 'the sizes below',
          doc: 'A config.json in the words of Hugging Face’s Llama; its sizes replace those below.',
        },
        width: { kind: 'integer', min: 2, default: 128, doc: 'Width of the residual stream.' },
        layers: { kind: 'integer', min: 1, default: 4, doc: 'Layers.' },
        heads: { kind: 'integer', min: 1, default: 4, doc: 'Query heads; the width must be an even multiple.' },
        keyValueHeads: { kind: 'integer', min: 1, otherwise: 'as many as heads', doc: 'Key and value heads.' },
        hidden: { kind: 'integer', min: 1, otherwise: '8/3 of the width', doc: 'Width of the SwiGLU block.' },
        dtype: {
          kind: 'choice',
          choices: ['f32', 'bf16'],
          default: 'f32',
          doc: 'Of the saved weights; bf16 is half the size and rounds.',
        },
      },
      Training: training('Windows', { lr: 3e-3, batchSize: 64, epochs: 1, weightDecay: 0.1, warmupRatio: 0.02 }),
      Run: run,
      Machine: machine,
    },
  },
  sft: {
    summary: 'trains a model to imitate responses (supervised fine-tuning)',
    example: '--model base --data chats.jsonl --out sft',
    notes: ['The loss falls on the response only; one example is shown with its loss mask before training.', RESUMING],
    options: {
      Data: {
        model,
        data: {
          kind: 'paths',
          value: 'FILE',
          required: true,
          doc: 'JSONL or gzip: { prompt, completion }, { messages }, { text }, or preferences (the preferred is learnt).',
        },
        ...encoding,
      },
      Training: training('Examples', { lr: 3e-4, batchSize: 32, epochs: 1 }),
      Run: run,
      Machine: machine,
    },
  },
  reward: {
    summary: 'trains a reward model on preference pairs (Bradley-Terry)',
    example: '--model sft --data pairs.jsonl --out reward',
    notes: [
      'Accuracy is over the held-out pairs that have a preference (ties do not count); ' +
        'the calibration error tells how far its probabilities are from the labels.',
      RESUMING,
    ],
    options: {
      Data: { model, data: { kind: 'paths', value: 'FILE', required: true, doc: PAIRS }, ...encoding, mergeAnnotators },
      Training: {
        ...training('Prompts (with all their pairs)', { lr: 3e-4, batchSize: 16, epochs: 2 }),
        pooling: {
          kind: 'choice',
          choices: ['mean', 'last'],
          default: 'mean',
          doc: 'How a response becomes one row: the mean of its tokens, or its last one.',
        },
        centerCoefficient: {
          kind: 'number',
          min: 0,
          default: 0.01,
          doc: 'Weight of (chosen + rejected)², which keeps scores near 0.',
        },
        labelSmoothing,
      },
      Run: run,
      Machine: machine,
    },
  },
  dpo: {
    summary: 'trains a model on preference pairs directly, without a reward model',
    example: '--model sft --data pairs.jsonl --beta 0.1 --out dpo',
    notes: [RESUMING],
    options: {
      Data: {
        model,
        reference: {
          kind: 'path',
          value: 'DIR',
          otherwise: 'a frozen copy of --model',
          doc: 'The model to stay near.',
        },
        data: { kind: 'paths', value: 'FILE', required: true, doc: PAIRS },
        ...encoding,
        mergeAnnotators,
      },
      Training: {
        kind: {
          kind: 'choice',
          choices: table.dpoLoss.options.kind.values,
          default: 'sigmoid',
          doc: 'The loss; kernels/dpo_loss/dpo_loss.h has the formula of each.',
        },
        beta: { kind: 'number', above: 0, default: 0.1, doc: 'Strength of the pull toward the reference.' },
        labelSmoothing,
        sftCoefficient: {
          kind: 'number',
          min: 0,
          default: 0,
          doc: 'Weight of the mean −log p of the preferred responses, added to the loss.',
        },
        ...training('Pairs', { lr: 1e-4, batchSize: 32, epochs: 1 }),
      },
      Run: run,
      Machine: machine,
    },
  },
  ppo: {
    summary: 'trains a model toward a reward by proximal policy optimization',
    example: '--model sft --reward reward --data prompts.jsonl --kl-target 6 --out ppo',
    notes: [
      'A reward function is the default export of a JavaScript file: it takes ' +
        '[{ prompt, completion, promptTokens, completionTokens }, …] and returns one number each, or a promise of them.',
      `${RESUMING} A round that was being trained is finished first.`,
    ],
    options: {
      ...ppo,
      Run: { ...run, saveEvery: { ...run.saveEvery, default: 5, doc: 'Rounds between two checkpoints.' } },
      Machine: machine,
    },
  },
  generate: {
    summary: 'continues prompts',
    example: '--model sft --prompt "My fellow citizens," --max-new-tokens 48',
    options: {
      Data: {
        model: { ...model, doc: 'Folder of the model (config.json, model.safetensors, tokenizer.json).' },
        prompt: { kind: 'texts', value: 'TEXT', doc: 'Prompts, as they are.' },
        data: {
          kind: 'paths',
          value: 'FILE',
          doc: 'Prompts, JSONL or gzip: { prompt } as a text or message list, or a preference file.',
        },
        badLines,
      },
      Sampling: {
        ...sampling({ maxNewTokens: 128 }),
        count: { kind: 'integer', min: 1, default: 1, doc: 'Completions per prompt.' },
        seed,
      },
      Machine: machine,
    },
  },
  eval: {
    summary: 'compares two models by a reward, and measures perplexity on text',
    example: '--model ppo --baseline sft --reward reward --data prompts.jsonl',
    notes: [
      'The win rate is over all pairs of completions of the two models for a prompt; its 95 % interval comes from ' +
        'resampling prompts, since pairs of one prompt are not independent.',
      'With --text alone it measures perplexity, and --baseline, --reward and --data may be left out.',
    ],
    options: {
      Data: {
        model: { ...model, doc: 'Folder of the model to judge.' },
        baseline: { kind: 'path', value: 'DIR', doc: 'Folder of the model to compare it with.' },
        reward: {
          kind: 'path',
          value: 'DIR|FILE.js',
          doc: 'The judge: a reward model, or a function (see prefgrad ppo --help).',
        },
        data: {
          kind: 'paths',
          value: 'FILE',
          doc: 'Prompts, JSONL or gzip: { prompt } as a text or message list, or a preference file.',
        },
        text: { kind: 'paths', value: 'FILE', doc: 'Real text to be surprised by: perplexity and nats per byte.' },
        maxLength: { ...maxLength, doc: 'Longest prompt plus completion, and the window for --text.' },
        truncate,
        badLines,
      },
      Sampling: {
        ...sampling({ maxNewTokens: 64 }),
        count: {
          kind: 'integer',
          min: 1,
          default: 4,
          doc: 'Completions per prompt and model; every one meets every one.',
        },
        seed,
      },
      Machine: machine,
    },
  },
  inspect: {
    summary: 'says which devices were found, or what a folder or file holds',
    example: 'runs/sft pairs.jsonl.gz',
    notes: ['Without a path: devices, versions, and why a device cannot be used. Bug reports should hold its output.'],
    positional: 'paths',
    options: {
      Data: {
        paths: {
          kind: 'paths',
          value: 'PATH',
          doc: 'Model, run and checkpoint folders, safetensors files, tokenizers, data files.',
        },
      },
      Machine: { json: machine.json },
    },
  },
} as const satisfies Record<string, CommandSpec>

export type CommandName = keyof typeof commands
