/** prefgrad on a CUDA GPU beside PyTorch on the same one. `--help` shows the options. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PrefgradError } from '../../lib/errors.ts'
import { openDevice } from '../../lib/index.ts'
import { refuse } from '../../lib/refuse.ts'
import { slug } from '../text.ts'
import { caseName, planAll } from './cases/index.ts'
import { type Command, readCommand, USAGE } from './command.ts'
import { askDriver, readEnvironment } from './environment.ts'
import { measureCase } from './measure.ts'
import { Own } from './own.ts'
import { Peers } from './peers.ts'
import { aboutLine, caseText, ceilingLines, environmentLines, goalLines } from './report.ts'
import type { Ceiling, PeerAbout, Planned, Results } from './types.ts'

type Print = (text: string) => void

const choose = (all: readonly Planned[], { ops, dtypes }: Command): Planned[] => {
  for (const [arg, names, known] of [
    ['op', ops ?? [], all.map(({ op }) => op)],
    ['dtype', dtypes ?? [], all.map(({ dtype }) => dtype as string)],
  ] as const) {
    const stranger = names.find((name) => !known.includes(name))
    if (stranger !== undefined) {
      refuse('ERR_USAGE', `there is no ${arg} '${stranger}' in this bench.`, {
        arg,
        value: stranger,
        fix: `Known: ${[...new Set(known)].join(', ')}.`,
      })
    }
  }
  return all.filter(({ op, dtype }) => (ops?.includes(op) ?? true) && (dtypes?.includes(dtype) ?? true))
}

const findPeers = async ({ peers: wanted, scale }: Command, print: Print): Promise<Peers | undefined> => {
  if (wanted === 'none') return undefined
  const folder = wanted === 'torch' ? {} : { folder: wanted }
  const found = await Peers.find({ ...folder, tiny: scale === 'tiny' })
  if (typeof found !== 'string') return found
  print(`no peers: ${found}`)
  return undefined
}

/** The best that anybody reached, prefgrad's own copies and sums included. */
const bestCeilings = (ceilings: readonly Ceiling[]): Ceiling[] => {
  const best = new Map<string, Ceiling>()
  for (const one of ceilings) if (one.rate > (best.get(one.name)?.rate ?? 0)) best.set(one.name, one)
  return [...best.values()]
}

const save = async (results: Results, { json, results: folder }: Command): Promise<string[]> => {
  const text = `${JSON.stringify(results, null, 1)}\n`
  const { date, device } = results.environment
  const files = json === undefined ? [] : [json]
  if (folder !== undefined) {
    await mkdir(folder, { recursive: true })
    files.push(join(folder, `${date.slice(0, 10)}-${slug(device.replace(/^cuda:/, ''))}.json`))
  }
  for (const file of files) await writeFile(file, text)
  return files
}

const measureAll = async (words: readonly string[], command: Command, print: Print): Promise<Results> => {
  const begun = performance.now()
  using cpu = await openDevice('cpu')
  using device = await openDevice(command.device, { matmul: command.matmul })
  const chosen = choose(planAll(cpu, command.scale, command.matmul === 'fast'), command)
  const environment = await readEnvironment(device, words)
  print(environmentLines(environment).join('\n'))
  const peers = await findPeers(command, print)
  const about: PeerAbout[] = (await peers?.about()) ?? []
  const own = new Own(device, cpu, command.scale === 'tiny')
  const ceilings = bestCeilings([...own.ceilings(), ...((await peers?.ceilings()) ?? [])])
  print([...about.map(aboutLine), ...ceilingLines(ceilings), ''].join('\n'))
  const results: Results = { schema: 1, environment, ceilings, peers: about, cases: [], left: [] }
  try {
    for (const planned of chosen) {
      if (performance.now() - begun > command.seconds * 1e3) {
        results.left.push(caseName(planned))
        continue
      }
      const tools = { own, peers, cpu, ceilings, samples: command.samples, done: results.cases }
      const result = await measureCase(planned, tools)
      results.cases.push(result)
      print(caseText(result))
      // Whoever stops the bench keeps what was measured before.
      await save(results, command)
    }
  } finally {
    await peers?.close()
  }
  if (!environment.emulated) environment.gpu.push(await askDriver())
  return results
}

/**
 * Runs the bench with the words of a command line and returns what it measured; nothing for `--help` and `--list`.
 *
 * @throws PrefgradError `ERR_USAGE` for words that it does not know, `ERR_NO_DEVICE` without a GPU
 */
export const runGpuBench = async (
  words: readonly string[],
  print: Print = console.log,
): Promise<Results | undefined> => {
  const command = readCommand(words)
  if (command.help) {
    print(USAGE)
    return undefined
  }
  if (command.list) {
    using cpu = await openDevice('cpu')
    for (const one of choose(planAll(cpu, command.scale), command)) print(caseName(one))
    return undefined
  }
  const results = await measureAll(words, command, print)
  print(goalLines(results).join('\n'))
  for (const file of await save(results, command)) print(`wrote ${file}`)
  return results
}

const isMain = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isMain) {
  try {
    await runGpuBench(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof PrefgradError)) throw error
    console.error(`bench: ${error.message}`)
    process.exitCode = 2
  }
}
