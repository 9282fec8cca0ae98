/** Errors as one or two lines for people. */
import { PrefgradError } from '../errors.ts'
import type { Context } from './context.ts'
import { Interrupt } from './interrupt.ts'
import { flagOf, optionsOf } from './schema.ts'
import { type CommandName, commands } from './table.ts'

/** 0; 2: the command line; 128 + n: stopped by signal n (130 for Ctrl-C); else 1. */
export const exitCodeOf = (error: unknown): number => {
  if (error === undefined) return 0
  const interrupt = interruptOf(error)
  if (interrupt !== undefined) return interrupt.exitCode
  return error instanceof PrefgradError && error.code === 'ERR_USAGE' ? 2 : 1
}

/**
 * `prefgrad sft: what was wrong. What to do.`, and below it how to go on if there is something to go on with. Empty
 * where nobody needs to be told: `prefgrad generate … | head`.
 */
export const describeError = (error: unknown, command: string, context: Context | undefined): string => {
  const interrupt = interruptOf(error)
  if (interrupt?.exitCode === 141 && context?.hint === undefined) return ''
  const subject = Object.hasOwn(commands, command) ? `prefgrad ${command}` : 'prefgrad'
  const lines = [`${subject}: ${messageOf(error, context)}`]
  if (context?.hint !== undefined) lines.push(context.hint)
  if (process.env.PREFGRAD_DEBUG && error instanceof Error) lines.push(stackOf(error))
  return lines.join('\n')
}

const messageOf = (error: unknown, context: Context | undefined): string => {
  if (error instanceof Interrupt) return `${error.message}; nothing was lost.`
  if (!(error instanceof PrefgradError)) {
    const text = error instanceof Error ? error.message : String(error)
    const known = error instanceof Error && 'syscall' in error
    return known ? text : `unexpected error: ${text} (PREFGRAD_DEBUG=1 shows where; please report it)`
  }
  if (error.code === 'ERR_ABORTED' && error.value !== undefined) {
    const why = error.cause instanceof PrefgradError ? `${error.cause.message} ` : ''
    return `${why}Stopped after step ${error.index}; saved as ${error.value}.`
  }
  if (context === undefined) return error.message
  // Of an op or loop called like the command, the name is there already.
  const { message, op } = error
  return inFlags(op === context.name ? message.replace(`${op}: `, '') : message, context.name)
}

/** Messages of the library name its options; here they are flags. */
const inFlags = (text: string, command: CommandName): string => {
  let named = text.replace("onBadLine: 'skip'", '--bad-lines skip').replace("openDevice('cpu')", '--device cpu')
  for (const name of optionsOf(commands[command]).keys()) {
    if (/[A-Z]/.test(name)) named = named.replaceAll(new RegExp(`(?<![\\w.-])${name}(?!\\w)`, 'g'), flagOf(name))
  }
  return named
}

const interruptOf = (error: unknown): Interrupt | undefined => {
  if (error instanceof Interrupt) return error
  return error instanceof Error && error.cause !== undefined ? interruptOf(error.cause) : undefined
}

const stackOf = (error: Error): string =>
  error.cause instanceof Error ? `${error.stack}\ncaused by: ${stackOf(error.cause)}` : `${error.stack}`
