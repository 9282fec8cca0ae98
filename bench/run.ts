/** `npm run bench`: prefgrad beside its peers and what this machine can do at best. `-- --help` shows the options. */
import { access, constants, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PrefgradError } from '../lib/errors.ts'
import { refuse } from '../lib/refuse.ts'
import { shapeText } from './cases/family.ts'
import { families } from './cases/index.ts'
import { Ceilings } from './ceilings.ts'
import { type Command, cudaWords, readCommand, USAGE } from './command.ts'
import { load, readEnvironment } from './environment.ts'
import { runGpuBench } from './gpu/run.ts'
import { measureGrowth } from './growth.ts'
import { growthSentence, memorySentence, steepSentences } from './growth_fit.ts'
import type { GrowthCurve } from './growth_types.ts'
import { Bench } from './measure.ts'
import { markNoise } from './noise.ts'
import { peers as allPeers } from './peers/index.ts'
import { everyOpFirst, type Planned, planCases, refuseIsas } from './plan.ts'
import { aboutLines, busyLines, caseText, ceilingLines, environmentLines, LEGEND, slowPeerLines } from './report.ts'
import { type FullResults, RESULTS_FOLDER, saveResults, writePlots, writeReport } from './results.ts'
import { lossSentences } from './results_summary.ts'
import { measureTax, type TaxResult, taxText } from './tax.ts'
import type { Ceiling, Environment, Peer, Results } from './types.ts'
import { planWebgpu, WebgpuBench } from './webgpu.ts'
import { openTimed } from './webgpu_clock.ts'

type Print = (text: string) => void

const list = (print: Print): void => {
  for (const { op, letters, dtypes, cases } of families) {
    const shown = cases
      .slice(0, 6)
      .map(({ shape, dtype }) => shapeText(shape) + (dtype === undefined ? '' : ` ${dtype}`))
    const rest = cases.length > shown.length ? `, ${cases.length - shown.length} more` : ''
    print(`${op} (${letters}; ${dtypes.join(', ')}): ${shown.join(', ')}${rest}`)
  }
  print(`peers: ${allPeers.map(({ name }) => name).join(', ')}`)
}

const defaultThreads = (): number[] => [...new Set([1, availableParallelism()])]

const measureCeilings = (
  ceilings: Ceilings | undefined,
  threads: readonly number[],
  isas: readonly string[],
): Ceiling[] =>
  ceilings === undefined
    ? []
    : threads.flatMap((count) => [
        ...(['read', 'copy', 'triad'] as const).map((kind) => ceilings.measure(kind, { threads: count, isa: isas[0] })),
        ...isas.map((isa) => ceilings.measure('multiplyAdd', { threads: count, isa })),
      ])

const findPeers = async (command: Command): Promise<{ usable: Peer[]; missing: Results['missing'] }> => {
  const wanted = allPeers.filter(({ name }) => command.peers?.includes(name) ?? true)
  const usable: Peer[] = []
  const missing: Results['missing'] = []
  for (const peer of wanted) {
    const why = await peer.missing()
    if (wanted.length > 1 && (await peer.isAnother?.())) continue
    if (why === undefined) usable.push(peer)
    else missing.push({ peer: peer.name, why, install: peer.install })
  }
  return { usable, missing }
}

interface Out {
  print: Print
  /** Told what is being done. */
  progress: Print
  /** Told of what was measured so far, after every case: whoever stops the bench keeps it. */
  keep: (results: FullResults) => Promise<void>
}

/** Adds to `results` the cases that were begun before `deadline` (ms, as performance.now() has it), and the names of the others. */
const measureCases = async (
  bench: Bench,
  planned: readonly Planned[],
  deadline: number,
  results: FullResults,
  { print, keep }: Out,
): Promise<void> => {
  for (const one of planned) {
    for (const isa of one.isas) {
      if (performance.now() > deadline) {
        results.left ??= []
        results.left.push(`${one.family.op} ${shapeText(one.shape)} ${one.dtype}, ${isa}`)
        continue
      }
      const result = await bench.run(one, isa)
      result.rows = markNoise(result.rows)
      results.cases.push(result)
      print(caseText(result))
      await keep(results)
    }
  }
}

const measureAll = async (command: Command, environment: Environment, out: Out): Promise<FullResults> => {
  const { print, progress, keep } = out
  const deadline = performance.now() + command.seconds * 1000
  const planned = command.parts.includes('cases') ? planCases(command, environment.isas) : []
  refuseIsas(command, environment.isas)
  const threads = command.threads ?? defaultThreads()
  print(environmentLines(environment).join('\n'))
  const { usable, missing } = planned.length > 0 ? await findPeers(command) : { usable: [], missing: [] }
  for (const { peer, why, install } of missing) print(`${peer} is not there (${why}); install it with: ${install}`)

  const loaded = Ceilings.load(environment.isas)
  if (loaded === undefined) print('build/Release/ceilings.node is not there: no ceilings. Run `npm run build`.')
  const isas = environment.isas.filter((isa) => planned.some((one) => one.isas.includes(isa)))
  const ceilings = measureCeilings(loaded, threads, isas)
  print(`\n${ceilingLines(ceilings).join('\n')}\n`)
  if (planned.length > 0) print(`${LEGEND.join('\n')}\n`)

  const isHasty = Number.isFinite(command.seconds)
  const inOrder = isHasty ? everyOpFirst(planned) : planned
  const bench = new Bench({ ceilings: loaded, peers: usable, threads, repeats: command.repeats, isHasty, progress })
  const results: FullResults = { schema: 1, environment, ceilings, peers: [], missing, cases: [] }
  try {
    await measureCases(bench, inOrder, deadline, results, out)
    results.peers = await bench.about()
    print([...aboutLines(results.peers), ...slowPeerLines(results.peers, ceilings)].join('\n'))
    const { left } = results
    if (left !== undefined) print(`left out after ${command.seconds} s (--seconds, --op): ${left.join('; ')}`)
    await keep(results)
    const isa = command.isas?.[0] ?? environment.isas[0]
    const setting = { threads, isa, ceilings: loaded }
    if (command.parts.includes('growth')) results.growth = await growthOf(command, setting, out)
    await keep(results)
    if (command.parts.includes('tax')) results.tax = await taxOf(setting, out)
    return results
  } finally {
    await bench.close()
  }
}

interface PartSetting {
  threads: readonly number[]
  isa: string
  ceilings: Ceilings | undefined
}

const growthOf = async (command: Command, setting: PartSetting, { print, progress }: Out): Promise<GrowthCurve[]> => {
  const { ops, dtypes, repeats, all } = command
  const chosen = families.filter(({ op }) => ops?.includes(op) ?? true)
  const curves = await measureGrowth({ ...setting, families: chosen, dtypes, repeats, all, progress }, (curve) => {
    print(growthSentence(curve))
    const memory = memorySentence(curve)
    if (memory !== undefined) print(memory)
  })
  print(['', ...steepSentences(curves)].join('\n'))
  return curves
}

const taxOf = async ({ threads, isa }: PartSetting, { print, progress }: Out): Promise<TaxResult[]> => {
  const results = await measureTax({ threads, isa, progress })
  for (const one of results) print(taxText(one))
  return results
}

const measureWebgpu = async (
  command: Command,
  about: Environment,
  { print, progress, keep }: Out,
): Promise<FullResults> => {
  const { repeats, software } = command
  const bench = await WebgpuBench.open(await openTimed(software), repeats)
  try {
    const environment = { ...about, device: bench.name, isas: [] }
    const { clock } = bench
    print([...environmentLines(environment), `timed by ${clock}`].join('\n'))
    const ceiling = await bench.ceiling(software)
    print(`\n${ceilingLines([ceiling]).join('\n')}\n`)
    const results: FullResults = {
      schema: 1,
      environment,
      ceilings: [ceiling],
      peers: [],
      missing: [],
      cases: [],
      clock,
    }
    for (const one of planWebgpu(planCases(command, about.isas), software, command.shapes !== undefined)) {
      progress(`${one.family.op} ${shapeText(one.shape)} ${one.dtype}`)
      const result = await bench.run(one, ceiling)
      results.cases.push(result)
      print(caseText(result))
      await keep(results)
    }
    return results
  } finally {
    bench.dispose()
  }
}

/** Minutes of measuring are not to end with a file that cannot be written. */
const mayWrite = async (path: string): Promise<void> => {
  const folder = dirname(resolve(path))
  await access(folder, constants.W_OK).catch((error) =>
    refuse('ERR_USAGE', `--json ${path} cannot be written: ${(error as Error).message}.`, {
      arg: 'json',
      value: path,
      fix: `Make the folder ${folder} first.`,
    }),
  )
}

/**
 * Runs the bench with the words of a command line and returns what it measured; nothing for `--help`, `--list`, `--report`, and
 * for cuda, which has a bench of its own.
 *
 * @throws PrefgradError `ERR_USAGE` for words that it does not know, `ERR_NO_DEVICE` for a device that is not there
 */
export const runBench = async (
  words: readonly string[],
  print: Print = console.log,
  progress: Print = () => {},
): Promise<FullResults | undefined> => {
  const cuda = cudaWords(words, RESULTS_FOLDER)
  if (cuda !== undefined) {
    const measured = await runGpuBench(cuda, print)
    if (measured !== undefined && words.includes('--save')) print(`wrote ${(await writeReport()).join(', ')}`)
    return undefined
  }
  const command = readCommand(
    words,
    families,
    allPeers.map(({ name }) => name),
  )
  if (command.help) print(USAGE)
  else if (command.list) list(print)
  else if (command.report) print(`wrote ${(await writeReport()).join(', ')}`)
  if (command.help || command.list || command.report) return undefined
  if (command.json !== undefined) await mayWrite(command.json)
  const begun = performance.now()
  const measure = command.device === 'webgpu' ? measureWebgpu : measureAll
  const keep = async (results: FullResults): Promise<void> => {
    if (command.json !== undefined) await writeFile(command.json, `${JSON.stringify(results, null, 1)}\n`)
  }
  const results = await measure(command, await readEnvironment(words), { print, progress, keep })
  const goals = results.cases.flatMap((one) => one.goals).filter(({ reached }) => reached !== undefined)
  const met = goals.filter((goal) => goal.met).length
  const unsure = goals.filter((goal) => goal.met === undefined).length
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  for (const lost of lossSentences(results.cases)) print(lost)
  const said =
    goals.length === 0 ? '' : `${met} of ${goals.length} goals met${unsure === 0 ? '' : `, ${unsure} not told`}; `
  print(`${said}${seconds} s; load average now ${load().join(', ')}`)
  for (const line of busyLines(results.environment)) print(line)
  await keep(results)
  if (command.plots !== undefined) print(`wrote ${(await writePlots(results.growth ?? [], command.plots)).join(', ')}`)
  if (command.save) print(`wrote ${(await saveResults(results)).join(', ')}`)
  return results
}

const isMain = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isMain) {
  // What is left to do then is done at the end of the process, such as to remove the inputs that peers read.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  // Progress goes where it does not mix with the tables.
  const progress = process.stderr.isTTY ? (text: string) => void process.stderr.write(`\r\x1b[2K${text}\r`) : undefined
  try {
    await runBench(process.argv.slice(2), console.log, progress)
  } catch (error) {
    if (!(error instanceof PrefgradError)) throw error
    console.error(`bench: ${error.message}`)
    process.exitCode = 2
  }
}
