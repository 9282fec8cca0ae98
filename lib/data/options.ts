import { PrefgradError } from '../errors.ts'

/** @throws PrefgradError `ERR_OPTION` unless `value` is an integer of at least `min`. */
export function checkInteger(name: string, value: number, min: number): number {
  if (Number.isSafeInteger(value) && value >= min) return value
  throw badOption(name, value, `Give a whole number, ${min} or more.`)
}

/** @throws PrefgradError `ERR_OPTION` unless `value` is one of `choices`. */
export function checkChoice<T extends string>(name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value
  throw badOption(name, value, `Give one of ${choices.map((choice) => `'${choice}'`).join(', ')}.`)
}

export function badOption(arg: string, value: unknown, fix: string): PrefgradError {
  return new PrefgradError('ERR_OPTION', `\`${arg}\` is ${String(value)}.`, { arg, value, fix })
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
