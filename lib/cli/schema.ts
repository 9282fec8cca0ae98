/** Commands and their options as data: parsing, help and error messages all come from one table. */

interface Documented {
  /** What it does, as one sentence. */
  readonly doc: string
  /** It does not change what comes out, so that a run may be resumed with another value. */
  readonly incidental?: true
}

/** A number option; `otherwise` says what stands in for a missing default. */
export interface NumericSpec extends Documented {
  readonly kind: 'integer' | 'number'
  readonly min?: number
  readonly above?: number
  readonly max?: number
  readonly below?: number
  readonly default?: number
  readonly required?: true
  readonly otherwise?: string
}

/** A text, or the path of a file or folder; `value` is how help calls it. */
interface Text extends Documented {
  readonly kind: 'text' | 'path'
  readonly value: string
  readonly default?: string
  readonly required?: true
  readonly otherwise?: string
}

/** One or more texts or paths after one flag; the flag may come again. */
export interface ListSpec extends Documented {
  readonly kind: 'texts' | 'paths'
  readonly value: string
  readonly required?: true
}

interface Choice extends Documented {
  readonly kind: 'choice'
  readonly choices: readonly string[]
  readonly default: string
}

interface Flag extends Documented {
  readonly kind: 'flag'
}

export type OptionSpec = NumericSpec | Text | ListSpec | Choice | Flag

/** Options by their heading in the help. Names are camelCase here and kebab-case on the command line. */
export type OptionGroups = Readonly<Record<string, Readonly<Record<string, OptionSpec>>>>

export interface CommandSpec {
  /** After `prefgrad <name>: `, without a full stop. */
  readonly summary: string
  /** What follows `prefgrad <name>` in the example of the help. */
  readonly example: string
  /** More to know, one paragraph an entry. */
  readonly notes?: readonly string[]
  readonly options: OptionGroups
  /** The list that words without a flag belong to. */
  readonly positional?: string
}

type Given<Spec, Value> = Spec extends { required: true } | { default: Value } ? Value : Value | undefined

type ValueOf<Spec extends OptionSpec> = Spec extends Flag
  ? boolean
  : Spec extends ListSpec
    ? readonly string[]
    : Spec extends { kind: 'choice'; choices: readonly (infer Value)[] }
      ? Value
      : Spec extends NumericSpec
        ? Given<Spec, number>
        : Given<Spec, string>

type NamesOf<Groups> = { [G in keyof Groups]: keyof Groups[G] }[keyof Groups] & string
type SpecOf<Groups, Name> = {
  [G in keyof Groups]: Name extends keyof Groups[G] ? Groups[G][Name] : never
}[keyof Groups]

/** What parsing gives for a command: every option by its camelCase name. */
export type ValuesOf<Command extends { options: OptionGroups }> = {
  readonly [Name in NamesOf<Command['options']>]: Extract<
    SpecOf<Command['options'], Name>,
    OptionSpec
  > extends infer Spec
    ? Spec extends OptionSpec
      ? ValueOf<Spec>
      : never
    : never
}

/** `maxLength` on the command line: `--max-length`. */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** All options of a command, without their headings. */
export const optionsOf = (command: CommandSpec): Map<string, OptionSpec> =>
  new Map(Object.values(command.options).flatMap((group) => Object.entries(group)))

export const isList = (spec: OptionSpec): spec is ListSpec => spec.kind === 'texts' || spec.kind === 'paths'

export const isNumeric = (spec: OptionSpec): spec is NumericSpec => spec.kind === 'integer' || spec.kind === 'number'

/** What stands for an option's value in the help and in messages: `N`, `DIR`, `error|skip`. */
export const placeholderOf = (spec: OptionSpec): string => {
  if (spec.kind === 'flag') return ''
  if (spec.kind === 'choice') return spec.choices.length > 4 ? 'NAME' : spec.choices.join('|')
  if (isNumeric(spec)) return spec.kind === 'integer' ? 'N' : 'X'
  return isList(spec) ? `${spec.value}...` : spec.value
}

/** `at least 1 and at most 256`; empty without limits. */
export const limitsOf = ({ min, above, max, below }: NumericSpec): string =>
  [
    min !== undefined && `at least ${min}`,
    above !== undefined && `above ${above}`,
    max !== undefined && `at most ${max}`,
    below !== undefined && `below ${below}`,
  ]
    .filter((limit) => limit !== false)
    .join(' and ')
