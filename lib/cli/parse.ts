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
  const values = new Map<string, Value>([['help', false]])
  // Words after a list option belong to it, up to the next option.
  let list = command.positional
  for (const token of tokensOf(specs, words)) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      if (list === undefined) {
        throw usageError(`'${token.value}' belongs to no option.`, 'Options begin with --; quote a text with blanks.')
      }
      append(values, list, token.value)
    } else if (token.name === 'help') {
      values.set('help', true)
    } else {
      const [name, spec] = [...specs].find(([known]) => flagOf(known) === `--${token.name}`) ?? []
      if (name === undefined || spec === undefined) throw unknownOption(token, [...specs.keys()])
      list = isList(spec) ? name : command.positional
      take(values, name, spec, token, specs)
    }
  }
  fillIn(values, specs)
  return Object.fromEntries(values) as unknown as ValuesOf<Command> & { help: boolean }
}

type Specs = ReadonlyMap<string, OptionSpec>

const tokensOf = (specs: Specs, words: readonly string[]) =>
  parseArgs({
    args: [...words],
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(
        [...specs].map(([name, { kind }]) => [
          flagOf(name).slice(2),
          { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
        ]),
      ),
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens

/** One option of the command line into the values. */
const take = (values: Map<string, Value>, name: string, spec: OptionSpec, token: OptionToken, specs: Specs): void => {
  if (isList(spec)) append(values, name, textOf(name, spec, token, specs))
  else if (values.has(name)) throw usageError(`${flagOf(name)} is given twice.`, 'Give it once.')
  else if (spec.kind !== 'flag') values.set(name, convert(name, spec, textOf(name, spec, token, specs)))
  else if (token.value === undefined) values.set(name, true)
  else throw usageError(`${token.rawName} takes no value, and got '${token.value}'.`, 'Leave the value out.')
}

/** Defaults for what was not given; required options only matter where no help is wanted. */
const fillIn = (values: Map<string, Value>, specs: Specs): void => {
  for (const [name, spec] of specs) {
    if (values.has(name)) continue
    if ('required' in spec && spec.required && values.get('help') !== true) {
      throw usageError(`${flagOf(name)} is missing.`, `${usageOf(name, spec)}: ${spec.doc}`)
    }
    if (spec.kind === 'flag') values.set(name, false)
    else if (isList(spec)) values.set(name, [])
    else if (spec.default !== undefined) values.set(name, spec.default)
  }
}

const append = (values: Map<string, Value>, name: string, value: string): void => {
  const list = values.get(name)
  if (Array.isArray(list)) list.push(value)
  else values.set(name, [value])
}

interface OptionToken {
  name: string
  rawName: string
  value?: string | undefined
  inlineValue?: boolean | undefined
}

const textOf = (name: string, spec: OptionSpec, { rawName, value, inlineValue }: OptionToken, specs: Specs): string => {
  // `--seed --out x`: the next option was taken for the value.
  const swallowed = inlineValue !== true && [...specs.keys()].some((other) => value?.split('=')[0] === flagOf(other))
  const empty = value === '' && spec.kind !== 'texts' && spec.kind !== 'text'
  if (value === undefined || empty || swallowed) throw usageError(`${rawName} needs a value: ${usageOf(name, spec)}.`)
  return value
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

/** Names the option that was probably meant: the nearest one, or the only one that begins so. */
const unknownOption = ({ rawName, name }: OptionToken, known: readonly string[]): PrefgradError => {
  const plain = (text: string) => text.toLowerCase().replace(/[_-]/g, '')
  const beginning = known.filter((other) => plain(other).startsWith(plain(name)))
  const close = nearest(name, known) ?? (beginning.length === 1 ? beginning[0] : undefined)
  const meant = name.length < 2 ? undefined : close
  const fix = meant === undefined ? 'See --help for all options.' : `Did you mean ${flagOf(meant)}?`
  return usageError(`there is no option ${rawName}.`, fix)
}
