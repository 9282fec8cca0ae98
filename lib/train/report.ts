import { formatNumber, formatPercent, formatRange, intervalBar, lineChart, reliabilityChart } from './charts.ts'
import { type Content, html, Markup } from './markup.ts'
import type { CheckpointReport, Fact, LossReport, PolicyReport, ReportData, RewardModelReport } from './report_data.ts'
import { REPORT_STYLE } from './report_style.ts'
import { cardSection, evaluationSection, sampleSection } from './report_tables.ts'
import type { WinRate } from './statistics.ts'

/**
 * One self-contained HTML file: no script, no address of anything outside, charts as inline SVG, light and dark as the
 * reader's system prefers. Whatever `data` lacks leaves its section out; all text in it is escaped.
 */
export function renderReport(data: ReportData): string {
  const { title, details, policies = [], samples = [], losses = [], evaluation = [], phases = [], card = [] } = data
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Markup(REPORT_STYLE)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${data.summary !== undefined && html`<p class="summary">${data.summary}</p>`}
${details && html`<ul class="details">${details.map((detail) => html`<li>${detail}</li>`)}</ul>`}
</header>
<main>
${headline(policies, data.facts ?? [])}
${trainingSection(policies, data.rewardModel)}
${losses.length > 0 && lossSection(losses)}
${evaluation.length > 0 && evaluationSection(evaluation)}
${samples.length > 0 && sampleSection(samples, policies, data.wordRatings ?? {})}
${(phases.length > 0 || card.length > 0 || data.run !== undefined) && cardSection(phases, card, data.run)}
</main>
</body>
</html>
`
  return page.source
}

function headline(policies: readonly PolicyReport[], facts: readonly Fact[]): Content {
  const cards = policies.flatMap((policy, tone) => (policy.proxy || policy.gold ? [policyCard(policy, tone)] : []))
  const numbers = facts.map(
    ({ label, value, note }) => html`<div class="panel">
<div class="small">${label}</div>
<div class="big">${value}</div>
${note !== undefined && html`<p class="small">${note}</p>`}
</div>`,
  )
  return [
    cards.length > 0 && html`<section class="cards" aria-label="Win rates">${cards}</section>`,
    numbers.length > 0 && html`<section class="facts" aria-label="Key numbers">${numbers}</section>`,
  ]
}

function policyCard({ name, proxy, gold, target }: PolicyReport, tone: number): Markup {
  const judged = (proxy ?? gold)!
  const low = judged.tiesHalf.low
  const met = target !== undefined && low > target
  const measure = (label: string, rate: WinRate | undefined) =>
    rate &&
    html`<div class="measure">
<div class="row">
<span>${label}</span>
<span>${formatPercent(rate.tiesHalf.value)} (${formatRange(rate.tiesHalf)})</span>
</div>
${intervalBar(rate.tiesHalf, tone % 4)}
</div>`
  const verdict =
    target !== undefined &&
    html`<p class="verdict ${met ? 'met' : 'missed'}">${met ? '✓' : '✗'}
Lower end of the interval ${formatPercent(low)}, target above ${formatPercent(target)}.</p>`
  return html`<div class="panel">
<div class="name">${name}</div>
<div class="big">${formatPercent(judged.tiesHalf.value)}</div>
<p class="small">of pairs won against the policy it started from, a tie counting ½:
${judged.pairs} pairs, ${judged.prompts} held-out prompts</p>
${measure('By the ratings it was trained toward', proxy)}
${measure('By ratings that training never saw', gold)}
${verdict}
</div>`
}

function trainingSection(policies: readonly PolicyReport[], rewardModel: RewardModelReport | undefined): Content {
  const trained = policies.flatMap(({ name, checkpoints = [], chosenStep }, tone) => {
    const steps = checkpoints.map(({ step }) => step)
    return checkpoints.length > 0 ? [{ name, tone, checkpoints, chosen: steps.indexOf(chosenStep ?? -1) }] : []
  })
  if (trained.length === 0 && rewardModel === undefined) return undefined
  const rewarded = trained.filter(({ checkpoints }) => checkpoints.some(({ reward }) => reward !== undefined))
  const judged = trained.filter(({ checkpoints }) =>
    checkpoints.some(({ proxy, gold }) => (proxy ?? gold) !== undefined),
  )
  return html`<h2>Training</h2>
${
  trained.length > 0 &&
  html`<p>Each dot is a checkpoint, measured on validation prompts. The ringed one was chosen there and is evaluated
below.</p>`
}
<div class="charts">${
    rewarded.length > 0 &&
    lineChart({
      title: 'Reward against KL',
      caption: 'What a policy gained in the reward model’s eyes, and how far it moved from where it started.',
      xLabel: 'KL from the start (nats a sequence)',
      yLabel: 'mean reward',
      include: { x: [0] },
      series: rewarded.map(({ name, tone, checkpoints, chosen }) => ({
        name,
        tone,
        dots: true,
        points: checkpoints.map(({ kl, reward = Number.NaN }) => [kl, reward] as const),
        chosen: chosen >= 0 ? { index: chosen, label: 'chosen' } : undefined,
      })),
    })
  }${judged.map(({ name, tone, checkpoints, chosen }) => {
    const parting = partingStep(checkpoints)
    const ring = chosen >= 0 ? { index: chosen, label: 'chosen' } : undefined
    const line = (series: string, key: 'proxy' | 'gold', dashed: boolean) => ({
      name: series,
      tone: dashed ? -1 : tone,
      dashed,
      dots: true,
      points: checkpoints.map((checkpoint) => [checkpoint.step, checkpoint[key] ?? Number.NaN] as const),
      chosen: dashed ? undefined : ring,
    })
    const isDoubted = checkpoints.some(({ gold }) => gold !== undefined)
    return lineChart({
      title: isDoubted ? `${name}: proxy against gold` : `${name}: win rate`,
      caption: !isDoubted
        ? 'By the ratings it was trained toward; there were none that it never saw.'
        : parting === undefined
          ? 'Ratings it was trained toward, and ratings it never saw: no parting of the two was found.'
          : 'In the shaded part the ratings it was trained toward rise and those it never saw fall: reward hacking.',
      xLabel: 'step',
      yLabel: 'win rate against the start, ties ½',
      percent: true,
      include: { x: [0], y: [0.4, 0.6] },
      yReference: { at: 0.5, label: 'no better' },
      xMark: parting === undefined ? undefined : { at: parting, label: 'they part' },
      series: [
        line('proxy (trained toward)', 'proxy', false),
        ...(isDoubted ? [line('gold (never seen)', 'gold', true)] : []),
      ],
    })
  })}${rewardModel && calibrationChart(rewardModel)}</div>`
}

/**
 * Where reward hacking begins (Gao, Schulman and Hilton 2023): the step of the highest gold win rate, if afterwards
 * gold gives back at least a quarter of its rise, and two points, while proxy ends above where it was at that step.
 * Both are averaged over three checkpoints first, as single ones are noisy. `undefined` when there is no such step, or
 * fewer than four checkpoints know both.
 */
export function partingStep(checkpoints: readonly CheckpointReport[]): number | undefined {
  const known = checkpoints.filter(({ proxy, gold }) => proxy !== undefined && gold !== undefined)
  if (known.length < 4) return undefined
  const smoothed = (key: 'proxy' | 'gold') =>
    known.map((_, i) => {
      const near = known.slice(Math.max(0, i - 1), i + 2)
      return near.reduce((sum, checkpoint) => sum + checkpoint[key]!, 0) / near.length
    })
  const [proxy, gold] = [smoothed('proxy'), smoothed('gold')]
  const peak = gold.indexOf(Math.max(...gold))
  const rise = gold[peak] - Math.min(gold[0], 0.5)
  const fell = gold[peak] - gold.at(-1)! >= Math.max(0.02, rise / 4)
  return fell && proxy.at(-1)! > proxy[peak] ? known[peak].step : undefined
}

function calibrationChart({ accuracy, calibration }: RewardModelReport): Markup {
  const right =
    accuracy &&
    `It names the preferred one of ${formatPercent(accuracy.value)} of the held-out pairs that the ratings decide ` +
      `(95 % interval ${formatPercent(accuracy.low)} to ${formatPercent(accuracy.high)}). `
  const error = `Expected calibration error ${formatNumber(calibration.expectedError)}; a larger dot is more pairs.`
  return reliabilityChart('Reward model: calibration', `${right ?? ''}${error}`, calibration)
}

function lossSection(losses: readonly LossReport[]): Markup {
  const charts = losses.map(({ title, yLabel, xLabel = 'step', series }) =>
    lineChart({
      title,
      xLabel,
      yLabel,
      series: series.map(({ name, points }, tone) => ({ name, points, tone, smooth: true })),
    }),
  )
  return html`<h2>Losses</h2>
<p>Pale lines are single steps, full ones their moving average.</p>
<div class="charts">${charts}</div>`
}
