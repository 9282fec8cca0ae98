/** bench/RESULTS.md: the newest results of each device, as Markdown. */
import { goalText } from './goals.ts'
import { growthSentence, memorySentence, steepSentences } from './growth_fit.ts'
import type { GrowthCurve } from './growth_types.ts'
import {
  aboutLines,
  busyLines,
  caseTable,
  caseTitle,
  ceilingTable,
  environmentLines,
  LEGEND,
  markdown,
  slowPeerLines,
} from './report.ts'
import type { FullResults } from './results.ts'
import { lossSentences, summaryTable } from './results_summary.ts'
import { type TaxResult, taxSentence, taxTable, taxTitle } from './tax.ts'
import type { CaseResult } from './types.ts'

const bullets = (lines: readonly string[], none: string): string[] =>
  lines.length > 0 ? lines.map((line) => `- ${line}`) : [none]

const sentence = (text: string): string => `${text[0].toUpperCase()}${text.slice(1)}.`

const caseSection = (one: CaseResult): string[] => [
  `### ${caseTitle(one)}`,
  '',
  ...(one.note === undefined ? [] : [sentence(one.note), '']),
  ...markdown(caseTable(one)),
  '',
  ...(one.goals.length > 0 ? [...one.goals.map((goal) => `- ${goalText(goal)}`), ''] : []),
]

const growthSection = (curves: readonly GrowthCurve[]): string[] => [
  '## How cost grows',
  '',
  'Both axes are logarithmic. Ideal: what the smallest call takes, and every further byte (or operation) at the rate of the ceiling in',
  'brackets, measured in the same run. Peak memory: the inputs, and what a first call adds to a fresh process; dashed, the bytes',
  'of the inputs and outputs. Overhead: the least time of a call from TypeScript, less that of a loop in C++ that runs the same kernels.',
  '',
  '### Where it grows faster than the size',
  '',
  ...bullets(steepSentences(curves), 'Nowhere in this run.'),
  '',
  ...[...new Set(curves.map(({ op }) => op))].flatMap((op) => {
    const own = curves.filter((curve) => curve.op === op)
    const memory = own.flatMap((curve) => memorySentence(curve) ?? [])
    return [
      `### Growth of ${op}`,
      '',
      `![time, memory and overhead of ${op} against its sizes](results/plots/${op}.svg)`,
      '',
      ...bullets([...own.map(growthSentence), ...memory], ''),
      '',
    ]
  }),
]

const taxSection = (results: readonly TaxResult[]): string[] => [
  '## What TypeScript costs',
  '',
  'The same kernels on the same memory, by a loop in C++ that replays the argument blocks of prepared calls, and from TypeScript, in turn.',
  '~ marks what is less than the difference of two runs of the C++ loop.',
  '',
  ...results.flatMap((one) => [
    `### ${taxTitle(one)}`,
    '',
    ...markdown(taxTable(one)),
    '',
    `- ${taxSentence(one)}`,
    '',
  ]),
]

/** Those that may have been, too. */
const missedGoals = (cases: readonly CaseResult[]): string[] =>
  cases.flatMap((one) =>
    one.goals
      .filter(({ reached, met }) => reached !== undefined && met !== true)
      .map((goal) => `${caseTitle(one)}: ${goalText(goal)}`),
  )

const SUMMARY_LEGEND = [
  'The least time of a call, and how many times as long the fastest way of each peer takes. Call overhead: so small a case that the',
  'ratio says what a call costs, and nothing about the kernels.',
  '',
]

/** What was measured, with what, and where prefgrad is behind. `heading`: of its sections; the first run explains its tables. */
const cpuSummary = ({ results, name, since = 0 }: KeptCpu, heading: '##' | '###'): string[] => {
  const { environment, ceilings, peers, missing, cases, left = [] } = results
  return [
    `Written by \`${environment.command}\`, all figures in [${name}](results/${name}).`,
    '',
    ...environmentLines(environment).map((line) => `- ${line}`),
    ...busyLines(environment).map((line) => `- ${line}`),
    ...(since === 0
      ? []
      : [
          `- ${since} later commits changed kernels or what they are held against: these figures are of the older ones`,
        ]),
    ...aboutLines(peers).map((line) => `- ${line}`),
    ...missing.map(({ peer, why, install }) => `- ${peer} was not there (${why}); install it with \`${install}\``),
    ...slowPeerLines(peers, ceilings).map((line) => `- ${line}`),
    ...(left.length > 0 ? [`- left out because the time was up: ${left.join('; ')}`] : []),
    '',
    ...markdown(ceilingTable(ceilings)),
    '',
    ...(heading === '##' ? [...LEGEND.map((line) => `- ${line}`), ''] : []),
    `${heading} Where prefgrad loses`,
    '',
    ...bullets(lossSentences(cases), 'Against nobody in this run.'),
    '',
    `${heading} Where a goal was missed`,
    '',
    ...bullets(missedGoals(cases), 'Nowhere in this run.'),
    '',
    `${heading} In short`,
    '',
    ...(heading === '##' ? SUMMARY_LEGEND : []),
    ...markdown(summaryTable(cases)),
    '',
  ]
}

/** All of a run on the cpu. */
const cpuSections = (kept: KeptCpu): string[] => {
  const { cases, growth = [], tax = [] } = kept.results
  return [
    ...cpuSummary(kept, '##'),
    '## Case by case',
    '',
    ...cases.flatMap(caseSection),
    ...(growth.length === 0 ? [] : growthSection(growth)),
    ...(tax.length === 0 ? [] : taxSection(tax)),
  ]
}

/** An older run, on a cpu with other instruction sets, in short. */
const olderCpuSections = (kept: KeptCpu): string[] => [
  `## On a CPU with ${kept.results.environment.isas[0]}`,
  '',
  ...cpuSummary(kept, '###'),
]

const webgpuSections = ({ environment, ceilings, cases, clock }: FullResults, name: string): string[] => [
  `## ${environment.device}`,
  '',
  `Written by \`${environment.command}\`, all figures in [${name}](results/${name}).`,
  '',
  ...environmentLines(environment).map((line) => `- ${line}`),
  `- timed by ${clock ?? 'the clock of the host'}`,
  '',
  ...(ceilings.length === 0 ? [] : [...markdown(ceilingTable(ceilings)), '']),
  ...cases.flatMap(caseSection),
]

/** Results of the CUDA bench, whose own report is for the terminal. */
export interface CudaPart {
  name: string
  device: string
  lines: readonly string[]
}

const cudaSections = ({ name, device, lines }: CudaPart): string[] => [
  `## ${device}`,
  '',
  `All figures in [${name}](results/${name}); [docs/cuda.md](../docs/cuda.md) says how to read them.`,
  '',
  '```text',
  ...lines,
  '```',
  '',
]

/** A run on the cpu, and the name of the file with its figures. */
export interface KeptCpu {
  name: string
  results: FullResults
  /** Commits that changed what it measured. */
  since?: number
}

/** What RESULTS.md is made of: results with the name of their file. */
export interface Kept {
  /** One for each best instruction set, the newest first. */
  cpus: readonly KeptCpu[]
  webgpu?: { name: string; results: FullResults }
  cuda?: CudaPart
}

/** The whole file: the newest run on a CPU case by case, others in short. */
export const resultsMarkdown = ({ cpus, webgpu, cuda }: Kept): string =>
  [
    '# Benchmark results',
    '',
    ...cpus.flatMap((kept, i) => (i === 0 ? cpuSections : olderCpuSections)(kept)),
    ...(webgpu === undefined ? [] : webgpuSections(webgpu.results, webgpu.name)),
    ...(cuda === undefined ? [] : cudaSections(cuda)),
  ].join('\n')
