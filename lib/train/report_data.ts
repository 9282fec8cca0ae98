import type { Point } from './charts.ts'
import type { Calibration, Estimate, WinRate } from './statistics.ts'

/**
 * All that a run can tell; see `renderReport`. Every part may be missing, and its section is then left out: a run of
 * PPO alone, a reward model alone, or a comparison of two checkpoints gives a shorter report.
 */
export interface ReportData {
  readonly title: string
  /** One or two sentences under the title: what was trained, toward whose preferences, with what result. */
  readonly summary?: string
  /** Small print under it: date, device, seed, version. */
  readonly details?: readonly string[]
  readonly policies?: readonly PolicyReport[]
  /** Further numbers for the top of the page, such as the reward model's accuracy or the seconds a run took. */
  readonly facts?: readonly Fact[]
  readonly rewardModel?: RewardModelReport
  readonly losses?: readonly LossReport[]
  readonly evaluation?: readonly EvaluationRow[]
  readonly samples?: readonly SampleReport[]
  /** Mean rating of each lower-case word that the preference knows: marks the words in the samples. */
  readonly wordRatings?: Readonly<Record<string, number>>
  /** How long each phase took. */
  readonly phases?: readonly Phase[]
  readonly card?: readonly CardSection[]
  /** The whole of run.json, printed as it is. */
  readonly run?: unknown
}

/** A policy that was trained toward the preferences, such as PPO's or DPO's. */
export interface PolicyReport {
  readonly name: string
  /** Win rate against the starting policy by the preference that labelled the training data. */
  readonly proxy?: WinRate
  /** The same by the preference that training never saw. */
  readonly gold?: WinRate
  /** What the lower end of the interval (ties ½) should exceed. */
  readonly target?: number
  readonly checkpoints?: readonly CheckpointReport[]
  /** Step of the checkpoint that was chosen, on validation prompts, and evaluated. */
  readonly chosenStep?: number
}

/** A policy somewhere in its training, measured on validation prompts. */
export interface CheckpointReport {
  readonly step: number
  /** KL from the starting policy, nats a sequence. */
  readonly kl: number
  /** Mean score by the reward model, in its own units. */
  readonly reward?: number
  /** Win rates against the starting policy, ties ½, in [0, 1]. */
  readonly proxy?: number
  readonly gold?: number
}

export interface Fact {
  readonly label: string
  readonly value: string
  readonly note?: string
}

export interface RewardModelReport {
  /** On held-out pairs that the labels decide. */
  readonly accuracy?: Estimate
  readonly calibration: Calibration
}

/** One panel of loss curves. */
export interface LossReport {
  /** Such as "Reward model". */
  readonly title: string
  /** Such as "loss (nats)". */
  readonly yLabel: string
  /** "step" by default. */
  readonly xLabel?: string
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[]
}

/** A row of the evaluation table; win rates are against the starting policy. */
export interface EvaluationRow {
  readonly policy: string
  /** Which prompts: rows of one slice stand together under its name, such as "256 held-out prompts after 1960". */
  readonly slice: string
  readonly proxy?: WinRate
  readonly gold?: WinRate
  /** Nats a sequence from the starting policy. */
  readonly kl?: number
  /** Nats a token. */
  readonly entropy?: number
  /** On real held-out text. */
  readonly natsPerByte?: number
  /** Of the continuations, in [0, 1]. */
  readonly distinct3?: number
  readonly repetition?: number
  /** Mean tokens of a continuation. */
  readonly length?: number
}

/** Continuations of one prompt, the starting policy's first. Give the first prompts, never chosen ones: the page says so. */
export interface SampleReport {
  readonly prompt: string
  /** Where the prompt is from, such as "John F. Kennedy, 1963". */
  readonly source?: string
  readonly continuations: readonly {
    readonly policy: string
    readonly text: string
    readonly proxy?: number
    readonly gold?: number
  }[]
}

export interface Phase {
  readonly name: string
  readonly seconds: number
}

/** A part of the run's card: what it is about, and labelled values. */
export interface CardSection {
  readonly title: string
  readonly rows: readonly (readonly [label: string, value: string])[]
}
