/** The help texts, all from the table. */
import { type CommandSpec, flagOf, isList, isNumeric, limitsOf, type OptionSpec, placeholderOf } from './schema.ts'
import { commands } from './table.ts'

const WIDTH = 96
const FLAG_COLUMN = 30

/** `prefgrad --help`. */
export const overview = (): string =>
  [
    'prefgrad: trains language models toward stated preferences. Usage: prefgrad <command> [options]',
    '',
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`),
    '',
    'A first round: tokenizer and pretrain (or a model of yours), sft, reward, ppo or dpo, eval.',
    'prefgrad <command> --help   options, with defaults and an example',
    'prefgrad --version          version',
    '',
    'Environment: PREFGRAD_DEVICE and PREFGRAD_ISA force a device and an instruction set;',
    'PREFGRAD_DEBUG=1 shows where an error came from.',
  ].join('\n')

/** `prefgrad <command> --help`. */
export const helpOf = (name: string, command: CommandSpec): string => {
  const groups = Object.entries(command.options).map(([title, options]) =>
    [`${title}:`, ...Object.entries(options).map(([option, spec]) => line(option, spec, command))].join('\n'),
  )
  const notes = (command.notes ?? []).map((note) => wrap(note, WIDTH, ''))
  return [`prefgrad ${name}: ${command.summary}`, `  prefgrad ${name} ${command.example}`, ...groups, ...notes].join(
    '\n\n',
  )
}

const line = (name: string, spec: OptionSpec, command: CommandSpec): string => {
  const flag = command.positional === name ? '' : `${flagOf(name)} `
  const head = `  ${flag}${placeholderOf(spec)}`.trimEnd()
  const indent = ' '.repeat(FLAG_COLUMN)
  const text = wrap(`${spec.doc}${detail(spec)}`, WIDTH, indent)
  return head.length < FLAG_COLUMN - 1 ? head.padEnd(FLAG_COLUMN) + text.trimStart() : `${head}\n${text}`
}

const detail = (spec: OptionSpec): string => {
  if (spec.kind === 'flag') return ''
  if (spec.kind === 'choice') {
    const choices = spec.choices.length > 4 ? ` One of ${spec.choices.join(', ')}.` : ''
    return `${choices} (default ${spec.default})`
  }
  if (spec.required) return ' (required)'
  if (isList(spec)) return ''
  const standard = spec.default ?? spec.otherwise
  const parts = [standard !== undefined && `default ${standard}`, isNumeric(spec) && limitsOf(spec)].filter(Boolean)
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`
}

const wrap = (text: string, width: number, indent: string): string => {
  const lines: string[] = []
  let current = indent
  for (const word of text.split(' ')) {
    if (current.length > indent.length && current.length + 1 + word.length > width) {
      lines.push(current)
      current = indent
    }
    current += current.length === indent.length ? word : ` ${word}`
  }
  return [...lines, current].join('\n')
}
