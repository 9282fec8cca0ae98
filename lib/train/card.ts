/** `run.json`: what a run did, with what, on whose word, and what its result is good for. */
import { readFileSync } from 'node:fs'
import type { FileReport } from '../data/index.ts'
import { packageVersion } from '../open.ts'

/** A data file as the card names it. */
export type CardFile = Omit<FileReport, 'badLines'> & {
  /** What it was read for: `training`, `held-out`, `prompts`, … */
  role: string
}

/** A model or another file that a run started from. */
export interface CardSource {
  role: string
  path: string
  /** Of the weights or of the file, in hex. */
  sha256: string
  parameters?: number
}

export interface CardInput {
  /** Such as `supervised fine-tuning`. */
  what: string
  /** The command line, or the call, that did it. */
  command: string
  status: 'running' | 'stopped' | 'finished'
  configuration: Readonly<Record<string, unknown>>
  seed: number
  /** `device.name`, such as `cpu:avx512`. */
  device: string
  data: readonly { role: string; report: FileReport }[]
  sources?: readonly CardSource[]
  /** Who judged or wrote the data; whose preferences these are. */
  labeller?: string
  /** What they were asked to do, or where that is written. */
  guidelines?: string
  started: Date
  /** Absent while it runs. */
  ended?: Date
  /** Optimizer steps (for PPO: rounds) done. */
  steps: number
  /** Parameters of the model that was trained. */
  parameters: number
  /** See {@link trainingFlops} and {@link forwardFlops}. */
  flops: number
  metrics?: Readonly<Record<string, unknown>>
  /** SHA-256 of the files that the run wrote, by name. */
  files?: Readonly<Record<string, string>>
  intendedUse?: string
  limits?: string
}

export interface RunCard extends Omit<CardInput, 'data' | 'device' | 'started' | 'ended' | 'flops'> {
  versions: { prefgrad: string; node: string; platform: string; device: string }
  data: CardFile[]
  sources: readonly CardSource[]
  labeller: string
  guidelines: string
  /** ISO 8601, UTC. */
  started: string
  ended: string | null
  /** Between the two, pauses before a `--resume` included. */
  seconds: number | null
  flops: { estimate: number; formula: string }
  intendedUse: string
  limits: string
}

const FLOPS_FORMULA =
  '6 · parameters · tokens for training, 2 · parameters · tokens for forward passes (arXiv:2001.08361, section 2.1)'
const UNKNOWN_LABELLER = 'unknown: state who labelled this data'
const UNKNOWN_GUIDELINES = 'unknown: state what the labeller was asked to do'
const INTENDED_USE =
  'Research and development on the data named here. Judge it on data of your own before it meets other people.'
const LIMITS =
  'Trained toward the preferences in this data, as its labeller had them and the guidelines asked; it holds their ' +
  'errors and blind spots, and says nothing about anybody else’s. A reward model rewards what looks like its data: the ' +
  'further a policy is trained against it, the less its score means. Measure that on judgements that training never saw.'

/**
 * Floating-point operations of training on `tokens` tokens: 6 · parameters · tokens, forward 2 and backward 4 (Kaplan
 * et al. 2020, arXiv:2001.08361, section 2.1). Attention over the context is left out; a table that is only looked up
 * counts.
 */
export const trainingFlops = (parameters: number, tokens: number): number => 6 * parameters * tokens

/** Of a forward pass or of generation: 2 · parameters · tokens (same source). */
export const forwardFlops = (parameters: number, tokens: number): number => 2 * parameters * tokens

/** The record of a run, ready for `JSON.stringify` and {@link RunFolder.writeCard}. */
export const runCard = (input: CardInput): RunCard => {
  const { what, command, status, configuration, seed, device, data, sources = [], started, ended, flops } = input
  const {
    labeller = UNKNOWN_LABELLER,
    guidelines = UNKNOWN_GUIDELINES,
    intendedUse = INTENDED_USE,
    limits = LIMITS,
  } = input
  const { steps, parameters, metrics, files } = input
  return {
    what,
    status,
    command,
    started: started.toISOString(),
    ended: ended?.toISOString() ?? null,
    seconds: ended === undefined ? null : Math.round((ended.getTime() - started.getTime()) / 1000),
    versions: {
      prefgrad: packageVersion(readFileSync),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      device,
    },
    seed,
    configuration,
    data: data.map(({ role, report: { badLines: _, ...counts } }) => ({ role, ...counts })),
    sources,
    labeller,
    guidelines,
    parameters,
    steps,
    flops: { estimate: flops, formula: FLOPS_FORMULA },
    ...(metrics !== undefined && { metrics }),
    ...(files !== undefined && { files }),
    intendedUse,
    limits,
  }
}
