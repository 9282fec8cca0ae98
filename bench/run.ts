/** `npm run bench`: prefgrad beside its peers and what this machine can do at best. `-- --help` shows the options. */
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PrefgradError } from '../lib/errors.ts'
import { shapeText } from './cases/family.ts'
import { families } from './cases/index.ts'
import { Ceilings } from './ceilings.ts'
import { type Command, readCommand, USAGE } from './command.ts'
import { load, packageRoot, readEnvironment } from './environment.ts'
import { Bench } from './measure.ts'
import { peers as allPeers } from './peers/index.ts'
import { planCases } from './plan.ts'
import {
  aboutLines,
  caseText,
  ceilingLines,
  environmentLines,
  LEGEND,
  resultsMarkdown,
  slowPeerLines,
} from './report.ts'
import type { CaseResult, Ceiling, Environment, Peer, Results } from './types.ts'

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
    if (why === undefined) usable.push(peer)
    else missing.push({ peer: peer.name, why, install: peer.install })
  }
  return { usable, missing }
}

const save = async (results: Results): Promise<string[]> => {
  const { date, device } = results.environment
  const name = `${date.slice(0, 10)}-${device.replaceAll(':', '-')}.json`
  const folder = join(packageRoot, 'bench/results')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, name), `${JSON.stringify(results, null, 1)}\n`)
  await writeFile(join(packageRoot, 'bench/RESULTS.md'), resultsMarkdown(results, name))
  return [join(folder, name), join(packageRoot, 'bench/RESULTS.md')]
}

const measureAll = async (
  command: Command,
  environment: Environment,
  { print, progress }: { print: Print; progress: Print },
): Promise<Results> => {
  const planned = planCases(command, environment.isas)
  const threads = command.threads ?? defaultThreads()
  print(environmentLines(environment).join('\n'))
  const { usable, missing } = await findPeers(command)
  for (const { peer, why, install } of missing) print(`${peer} is not there (${why}); install it with: ${install}`)

  const loaded = Ceilings.load(environment.isas)
  if (loaded === undefined) print('build/Release/ceilings.node is not there: no ceilings. Run `npm run build`.')
  const isas = environment.isas.filter((isa) => planned.some((one) => one.isas.includes(isa)))
  const ceilings = measureCeilings(loaded, threads, isas)
  print(`\n${ceilingLines(ceilings).join('\n')}\n\n${LEGEND.join('\n')}\n`)

  const bench = new Bench({ ceilings: loaded, peers: usable, threads, repeats: command.repeats, progress })
  const cases: CaseResult[] = []
  try {
    for (const one of planned) {
      for (const isa of one.isas) {
        const result = await bench.run(one, isa)
        cases.push(result)
        print(caseText(result))
      }
    }
    const peers = await bench.about()
    print([...aboutLines(peers), ...slowPeerLines(peers, ceilings)].join('\n'))
    return { schema: 1, environment, ceilings, peers, missing, cases }
  } finally {
    await bench.close()
  }
}

/**
 * Runs the bench with the words of a command line and returns what it measured; nothing for `--help` and `--list`.
 *
 * @throws PrefgradError `ERR_USAGE` for words that it does not know
 */
export const runBench = async (
  words: readonly string[],
  print: Print = console.log,
  progress: Print = () => {},
): Promise<Results | undefined> => {
  const command = readCommand(
    words,
    families,
    allPeers.map(({ name }) => name),
  )
  if (command.help) print(USAGE)
  else if (command.list) list(print)
  if (command.help || command.list) return undefined
  const begun = performance.now()
  const results = await measureAll(command, await readEnvironment(words), { print, progress })
  const goals = results.cases.flatMap((one) => one.goals).filter(({ met }) => met !== undefined)
  const met = goals.filter((goal) => goal.met).length
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  print(`${met} of ${goals.length} goals met; ${seconds} s; load average now ${load().join(', ')}`)
  const busy = results.environment.load[0] > 0.5 * cpus().length
  if (busy) print('The machine was busy when the run began: take the figures as lower bounds, and the ratios as rough.')
  if (command.json !== undefined) await writeFile(command.json, `${JSON.stringify(results, null, 1)}\n`)
  if (command.save) print(`wrote ${(await save(results)).join(' and ')}`)
  return results
}

const isMain = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isMain) {
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
