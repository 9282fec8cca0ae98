/** Command-line words -> the values of a command's options, or a refusal that says what was meant. */
import { parseArgs } from 'node:util'
import { PrefgradError } from '../errors.ts'
import { nearest } from '../refuse.ts'
import {
  type CommandSpec,
  flagOf,
  isList,
  isNumeric,
  limitsOf,
  type OptionSpec,
  optionsOf,
  placeholderOf,
  type ValuesOf,
} from './schema.ts'

type Value = string | number | boolean | string[]

/** A command line that cannot be understood: exit code 2. */
export const usageError = (message: string, fix?: string): PrefgradError =>
  new PrefgradError('ERR_USAGE', message, fix === undefined ? {} : { fix })

/**
 * Reads the words after `prefgrad <command>`.
 *
 * @throws PrefgradError `ERR_USAGE`: an unknown option (with the one that was probably meant), a missing or repeated
 * value, or one outside its range.
 */
export const parse = <Command extends CommandSpec>(
  command: Command,
  words: readonly string[],
): ValuesOf<Command> & { help: boolean } => {
  const specs = optionsOf(command)
  const names = new Map([...specs.keys()].map((name) => [flagOf(name).slice(2), name]))
  const { tokens } = parseArgs({
    args: [...words],
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(
        [...names].map(
          ([flag, name]) => [flag, { type: specs.get(name)!.kind === 'flag' ? 'boolean' : 'string' }] as const,
        ),
      ),
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  })

  const values = new Map<string, Value>()
  let help = false
  // Words after a list option belong to it, up to the next option.
  let list = command.positional
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      if (list === undefined) {
        throw usageError(`'${token.value}' belongs to no option.`, 'Options begin with --; quote a text with blanks.')
      }
      append(values, list, token.value)
      continue
    }
    if (token.name === 'help') {
      help = true
      continue
    }
    const name = names.get(token.name)
    if (name === undefined) throw unknownOption(token.rawName, token.name, [...specs.keys()])
    const spec = specs.get(name)!
    list = isList(spec) ? name : command.positional
    if (isList(spec)) append(values, name, textOf(token, usageOf(name, spec), names))
    else if (values.has(name)) throw usageError(`${flagOf(name)} is given twice.`, 'Give it once.')
    else
      values.set(
        name,
        spec.kind === 'flag' ? noValue(token) : convert(name, spec, textOf(token, usageOf(name, spec), names)),
      )
  }
  for (const [name, spec] of specs) {
    if (values.has(name)) continue
    if ('required' in spec && spec.required && !help)
      throw usageError(`${flagOf(name)} is missing.`, `${usageOf(name, spec)}: ${spec.doc}`)
    if (spec.kind === 'flag') values.set(name, false)
    else if (isList(spec)) values.set(name, [])
    else if (spec.default !== undefined) values.set(name, spec.default)
  }
  return { ...Object.fromEntries(values), help } as unknown as ValuesOf<Command> & { help: boolean }
}

const append = (values: Map<string, Value>, name: string, value: string): void => {
  const list = values.get(name)
  if (Array.isArray(list)) list.push(value)
  else values.set(name, [value])
}

interface OptionToken {
  rawName: string
  value?: string | undefined
  inlineValue?: boolean | undefined
}

const textOf = ({ rawName, value, inlineValue }: OptionToken, usage: string, names: Map<string, string>): string => {
  // `--seed --out x`: the next option was taken for the value.
  const swallowed = inlineValue !== true && value?.startsWith('--') && names.has(value.slice(2).split('=')[0])
  if (value === undefined || value === '' || swallowed) throw usageError(`${rawName} needs a value: ${usage}.`)
  return value
}

const noValue = ({ rawName, value }: OptionToken): true => {
  if (value !== undefined) throw usageError(`${rawName} takes no value, and got '${value}'.`, 'Leave the value out.')
  return true
}

const convert = (name: string, spec: OptionSpec, text: string): string | number => {
  if (spec.kind === 'choice') {
    if (spec.choices.includes(text)) return text
    const meant = nearest(text, spec.choices)
    const fix = meant === undefined ? `Use one of ${spec.choices.join(', ')}.` : `Did you mean '${meant}'?`
    throw usageError(`${flagOf(name)} cannot be '${text}'.`, fix)
  }
  if (!isNumeric(spec)) return text
  const number = Number(text)
  const whole = spec.kind === 'number' ? Number.isFinite(number) : Number.isSafeInteger(number)
  const { min = -Infinity, above = -Infinity, max = Infinity, below = Infinity } = spec
  if (text.trim() !== '' && whole && number >= min && number > above && number <= max && number < below) return number
  const expected = [spec.kind === 'integer' ? 'a whole number' : 'a number', limitsOf(spec)].filter(Boolean).join(', ')
  throw usageError(`${flagOf(name)} must be ${expected}, and is '${text}'.`)
}

/** `--data FILE...` */
const usageOf = (name: string, spec: OptionSpec): string => `${flagOf(name)} ${placeholderOf(spec)}`

/** The name that was probably meant: the nearest one, or the only one that begins so. */
const unknownOption = (raw: string, flag: string, known: readonly string[]): PrefgradError => {
  const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, '')
  const beginning = known.filter((name) => plain(name).startsWith(plain(flag)))
  const meant =
    flag.length < 2 ? undefined : (nearest(flag, known) ?? (beginning.length === 1 ? beginning[0] : undefined))
  const fix = meant === undefined ? 'See --help for all options.' : `Did you mean ${flagOf(meant)}?`
  return usageError(`there is no option ${raw}.`, fix)
}
