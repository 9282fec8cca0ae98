#!/usr/bin/env node
/** `prefgrad <command>`: finds the command, runs it, and turns what went wrong into a line and an exit code. */
import { readFileSync } from 'node:fs'
import { packageVersion } from '../open.ts'
import { nearest } from '../refuse.ts'
import { runners } from './commands.ts'
import type { Context } from './context.ts'
import { helpOf, overview } from './help.ts'
import { type Stop, stopOnSignals } from './interrupt.ts'
import { parse, usageError } from './parse.ts'
import { Reporter } from './reporter.ts'
import { type CommandName, commands } from './table.ts'
import { describeError, exitCodeOf } from './wording.ts'

const isCommand = (name: string): name is CommandName => Object.hasOwn(commands, name)

const unknownCommand = (name: string) => {
  const meant = nearest(name, Object.keys(commands))
  const fix = meant === undefined ? 'See prefgrad --help.' : `Did you mean '${meant}'?`
  return usageError(`there is no command '${name}'.`, fix)
}

/** What is printed without running anything, if it is asked for. */
const answer = (name: string): string | undefined => {
  if (name === '--help' || name === '-h' || name === 'help') return overview()
  if (name === '--version' || name === '-v') return packageVersion(readFileSync)
  return undefined
}

/** Runs one command; what it is about and what went wrong, if anything did. */
const main = async (words: readonly string[]): Promise<{ context?: Context; error?: unknown; stop?: Stop }> => {
  const [name = '', ...rest] = words
  let context: Context | undefined
  let stop: Stop | undefined
  try {
    if (name === '') throw usageError('a command is missing.', `Use one of ${Object.keys(commands).join(', ')}.`)
    const reporter = new Reporter({ json: rest.includes('--json') })
    stop = stopOnSignals(() => reporter.alert('stopping at the next safe place; once more quits at once'))
    const text = answer(name)
    if (text !== undefined) reporter.print(text)
    else if (!isCommand(name)) throw unknownCommand(name)
    else {
      const { help, ...values } = parse(commands[name], rest)
      context = { name, values, words, reporter, signal: stop.signal } as unknown as Context
      if (help) reporter.print(helpOf(name, commands[name]))
      else await (await runners[name]()).run(context as never)
      reporter.close()
    }
    return { context, stop }
  } catch (error) {
    context?.reporter.close()
    return { context, stop, error }
  }
}

const words = process.argv.slice(2)
const { context, stop, error } = await main(words)

const leave = (): void => {
  const problem = error ?? stop?.outputError()
  const text = problem === undefined ? '' : describeError(problem, words[0], context)
  if (text === '') process.exit(exitCodeOf(problem))
  process.stderr.write(`${text}\n`, () => process.exit(exitCodeOf(problem)))
}
// When all is written, or known to be lost. In any case: a reward function may hold timers or connections open.
process.stdout.write('', () => setImmediate(leave))
