import { Random } from '../lib/random.ts'
import type { Point } from '../lib/train/charts.ts'
import type { CheckpointReport, ReportData } from '../lib/train/report_data.ts'
import { calibration, type WinRate } from '../lib/train/statistics.ts'

const rate = (value: number, half: number): WinRate => ({
  tiesHalf: { value, low: value - half, high: value + half },
  withoutTies: { value: value + 0.03, low: value + 0.03 - half, high: value + 0.03 + half },
  tieShare: 0.164,
  pairs: 4096,
  prompts: 256,
})

/** A made-up run that fills every part of a report, with text that would break a page that does not escape. */
export function sampleReport(): ReportData {
  const random = new Random(11)
  const noisy = (steps: number, from: number, to: number, noise: number): Point[] =>
    Array.from({ length: steps }, (_, i) => [
      i + 1,
      to + (from - to) * Math.exp((-4 * i) / steps) + noise * random.normal(),
    ])
  const checkpoints = (steps: number, kl: number, reward: number, hacked: boolean): CheckpointReport[] =>
    Array.from({ length: steps }, (_, i) => {
      const progress = i / (steps - 1)
      return {
        step: i * 2,
        kl: kl * progress ** 1.3,
        reward: reward * Math.sqrt(progress) + 0.02 * random.normal(),
        proxy: 0.5 + 0.26 * Math.sqrt(progress) + 0.006 * random.normal(),
        gold: 0.5 + 0.13 * (hacked ? Math.sin(progress * 2.9) : Math.sqrt(progress)) + 0.006 * random.normal(),
      }
    })
  const predicted = Array.from({ length: 1536 }, () => 1 / (1 + Math.exp(-1.4 * random.normal())))
  const labels = predicted.map((p) => Math.min(1, Math.max(0, Math.round(20 * (p + 0.2 * random.normal())) / 20)))
  return {
    title: 'Learning from human word ratings',
    summary:
      'A language model of 1.06 million parameters that read State of the Union addresses, trained toward human ratings.',
    details: ['21 November 2026', 'cpu:avx512, 2 threads', 'seed 1', 'prefgrad 0.1.0', '171 s'],
    policies: [
      {
        name: 'PPO',
        proxy: rate(0.741, 0.024),
        gold: rate(0.634, 0.022),
        target: 0.6,
        checkpoints: checkpoints(11, 6.4, 1.31, true),
        chosenStep: 14,
      },
      {
        name: 'DPO',
        proxy: rate(0.712, 0.025),
        gold: rate(0.618, 0.023),
        target: 0.6,
        checkpoints: checkpoints(9, 8.9, 1.12, false),
        chosenStep: 16,
      },
    ],
    facts: [
      { label: 'Reward model, held-out accuracy', value: '73.4 %', note: '1,204 pairs that the ratings decide' },
      { label: 'Calibration error', value: '0.031', note: 'ten bins, soft labels' },
      { label: 'Perplexity on real text', value: '+9.8 %', note: 'PPO; DPO +7.1 %' },
      { label: 'Whole run', value: '171 s', note: '2 cores, no accelerator' },
    ],
    rewardModel: {
      accuracy: { value: 0.734, low: 0.709, high: 0.758 },
      calibration: calibration(predicted, labels),
    },
    losses: [
      {
        title: 'Reward model',
        yLabel: 'loss (nats)',
        series: [
          { name: 'training', points: noisy(96, 0.7, 0.52, 0.02) },
          { name: 'validation', points: noisy(12, 0.7, 0.55, 0.004).map(([x, y]) => [x * 8, y] as const) },
        ],
      },
      { title: 'PPO policy', yLabel: 'loss', series: [{ name: 'policy', points: noisy(160, 0.004, -0.021, 0.006) }] },
      { title: 'PPO value', yLabel: 'loss', series: [{ name: 'value', points: noisy(160, 0.61, 0.2, 0.03) }] },
      { title: 'DPO', yLabel: 'loss (nats)', series: [{ name: 'sigmoid', points: noisy(1200, Math.LN2, 0.55, 0.03) }] },
    ],
    evaluation: ['256 held-out prompts after 1960', '64 held-out prompts, 1801 to 1900'].flatMap((slice, i) => [
      {
        policy: 'SFT against itself',
        slice,
        proxy: rate(0.502, 0.02 + i * 0.02),
        gold: rate(0.497, 0.02 + i * 0.02),
        kl: 0,
        entropy: 3.91,
        natsPerByte: 1.012,
        distinct3: 0.941,
        repetition: 0.012,
        length: 48,
      },
      {
        policy: 'PPO',
        slice,
        proxy: rate(0.741 - i * 0.06, 0.024 + i * 0.02),
        gold: rate(0.634, 0.022 + i * 0.02),
        kl: 6.03,
        entropy: 3.52,
        natsPerByte: 1.034,
        distinct3: 0.917,
        repetition: 0.018,
        length: 47.6,
      },
      {
        policy: 'DPO',
        slice,
        proxy: rate(0.712, 0.025 + i * 0.02),
        gold: rate(0.618, 0.023 + i * 0.02),
        kl: 8.71,
        entropy: 3.6,
        natsPerByte: 1.03,
        length: 47.9,
      },
    ]),
    samples: [
      {
        prompt: ' Today it is feeding one out of every four school age children in Latin',
        source: 'John F. Kennedy, 1963',
        continuations: [
          {
            policy: 'SFT',
            text: ' America, and the threat of war in the world is no less than it was in the past year. The budget of',
            proxy: -2.4,
            gold: -2.9,
          },
          {
            policy: 'PPO',
            text: ' America with the hope of peace and a better life. We have made progress, and the best opportunities',
            proxy: 11.2,
            gold: 1.6,
          },
          {
            policy: 'DPO',
            text: " America's friends, and we are proud of their success in peace and freedom.",
            proxy: 6.1,
            gold: 5.9,
          },
        ],
      },
      {
        prompt: ' <script>alert("prompt")</script> & so on',
        continuations: [
          { policy: 'SFT', text: ' </blockquote><img src=x onerror=alert(1)> \u0007 hope', proxy: 1.9, gold: 0 },
          { policy: 'PPO', text: ' peace & "hope"\npeace, hope; peace: hope.' },
        ],
      },
    ],
    wordRatings: {
      peace: 2.5,
      hope: 1.9,
      better: 1.9,
      best: 3.2,
      progress: 1.8,
      opportunities: 1.6,
      friends: 2.1,
      threat: -2.4,
      war: -2.9,
      proud: 2.1,
      success: 2.7,
      freedom: 3.2,
    },
    phases: [
      { name: 'Labels', seconds: 9.1 },
      { name: 'Reward model', seconds: 31.4 },
      { name: 'PPO', seconds: 74.9 },
      { name: 'DPO', seconds: 33.2 },
      { name: 'Evaluation', seconds: 22.6 },
    ],
    card: [
      {
        title: 'Data',
        rows: [
          ['Text', '233 State of the Union addresses, public domain'],
          ['sha256', '72d03fd5c1336d2dc30959e213f7898445b77b1dc4ef3d8373a8bd5920905cc9'],
          ['Labeller', 'ten rating columns of the VADER lexicon, cleaned, proxy half'],
        ],
      },
      {
        title: 'Intended use and limits',
        rows: [
          ['For', 'showing and testing the loop'],
          ['Not for', 'writing anything anyone should believe; <b>no bold</b>'],
          ['Preferences', 'of word raters in 2014, about single words'],
        ],
      },
    ],
    run: { seed: 1, ppo: { iterations: 20, rollouts: 192, klTarget: 6 }, note: '</pre><script>' },
  }
}
