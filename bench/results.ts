/** What a run leaves behind: JSON with provenance, plots, and bench/RESULTS.md made of the newest of each device. */
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from './environment.ts'
import { caseText, ceilingLines, environmentLines, goalLines } from './gpu/report.ts'
import type { Results as CudaResults } from './gpu/types.ts'
import { growthSvg } from './growth_plot.ts'
import type { GrowthCurve } from './growth_types.ts'
import { type Kept, resultsMarkdown } from './results_markdown.ts'
import type { TaxResult } from './tax.ts'
import { slug } from './text.ts'
import type { Results } from './types.ts'

/** Everything that one run measured. */
export interface FullResults extends Results {
  growth?: GrowthCurve[]
  tax?: TaxResult[]
  /** Cases that were not begun because the time was up. */
  left?: string[]
  /** What told the time, on a device that has its own. */
  clock?: string
}

export const RESULTS_FOLDER = join(packageRoot, 'bench/results')

/** `2026-01-31-cpu-avx512.json`. */
export const fileName = ({ date, device }: { date: string; device: string }): string =>
  `${date.slice(0, 10)}-${slug(device)}.json`

/** One SVG for each op, into a folder; returns their paths. */
export const writePlots = async (curves: readonly GrowthCurve[], folder: string): Promise<string[]> => {
  if (curves.length === 0) return []
  await mkdir(folder, { recursive: true })
  const ops = [...new Set(curves.map(({ op }) => op))]
  const paths = ops.map((op) => join(folder, `${op}.svg`))
  for (const [i, op] of ops.entries()) {
    await writeFile(paths[i], growthSvg(curves.filter((curve) => curve.op === op)))
  }
  return paths
}

/** Which device results are of, by the name that the device has for itself. */
export const kindOf = (device: string): 'cpu' | 'webgpu' | 'cuda' =>
  device.startsWith('cpu:') ? 'cpu' : device.startsWith('webgpu:') ? 'webgpu' : 'cuda'

const cudaLines = (results: CudaResults): string[] => [
  ...environmentLines(results.environment),
  ...ceilingLines(results.ceilings),
  '',
  ...goalLines(results),
  '',
  ...results.cases.flatMap((one) => caseText(one).split('\n')),
]

/** Commits since these results that changed kernels, how they are called, or peers; 0 where that cannot be found out. */
const changesSince = ({ environment }: FullResults): number => {
  const paths = ['kernels', 'native', 'lib', 'bench/peers', 'bench/cases', 'bench/gpu/torch_ops.py']
  // A commit with changes of its own is named so.
  const [commit] = environment.commit.split(' ')
  const words = ['rev-list', '--count', `${commit}..HEAD`, '--', ...paths]
  const { status, stdout } = spawnSync('git', words, { cwd: packageRoot, encoding: 'utf8' })
  return status === 0 ? Number(stdout) : 0
}

/** The newest results of each device in a folder: of each instruction set that a CPU was measured with, of a WebGPU, of a GPU. */
export const readKept = async (folder: string): Promise<Kept> => {
  const newest = new Map<string, { name: string; date: string; results: unknown }>()
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.json'))) {
    const results = JSON.parse(await readFile(join(folder, name), 'utf8'))
    const { date, device } = results.environment as { date: string; device: string }
    const kind = kindOf(device)
    const key = kind === 'cpu' ? device : kind
    if (date > (newest.get(key)?.date ?? '')) newest.set(key, { name, date, results })
  }
  const [webgpu, cuda] = ['webgpu', 'cuda'].map((kind) => newest.get(kind))
  return {
    cpus: [...newest.entries()]
      .filter(([key]) => kindOf(key) === 'cpu')
      // What is the newest knows the most of how to compare.
      .sort(([, a], [, b]) => b.date.localeCompare(a.date))
      .map(([, { name, results }]) => ({
        name,
        results: results as FullResults,
        since: changesSince(results as FullResults),
      })),
    ...(webgpu && { webgpu: { name: webgpu.name, results: webgpu.results as FullResults } }),
    ...(cuda && {
      cuda: {
        name: cuda.name,
        device: (cuda.results as CudaResults).environment.device,
        lines: cudaLines(cuda.results as CudaResults),
      },
    }),
  }
}

/** Writes plots and RESULTS.md from what is kept; returns the paths. */
export const writeReport = async (): Promise<string[]> => {
  const kept = await readKept(RESULTS_FOLDER)
  const plots = await writePlots(kept.cpus[0]?.results.growth ?? [], join(RESULTS_FOLDER, 'plots'))
  const path = join(packageRoot, 'bench/RESULTS.md')
  await writeFile(path, resultsMarkdown(kept))
  return [...plots, path]
}

/** Keeps results, and writes the report anew; returns the paths. */
export const saveResults = async (results: FullResults): Promise<string[]> => {
  await mkdir(RESULTS_FOLDER, { recursive: true })
  const path = join(RESULTS_FOLDER, fileName(results.environment))
  await writeFile(path, `${JSON.stringify(results, null, 1)}\n`)
  return [path, ...(await writeReport())]
}
