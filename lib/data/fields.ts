import type { Message, Role } from './types.ts'

/** Why one line cannot be used; the reader collects it with its line number. */
export class LineError extends Error {}

/** One parsed line. Only its own properties are looked at, so that a `__proto__` key is a key like any other. */
export type JsonObject = { readonly [name: string]: unknown }

const ROLES: readonly string[] = ['system', 'user', 'assistant'] satisfies Role[]
const LONE_SURROGATE = /\p{Surrogate}/u
const SHOWN_LENGTH = 60

/** @throws LineError unless the line holds one JSON object. */
export function parseObject(line: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new LineError(`invalid JSON: ${clip((error as Error).message, 160)}`)
  }
  if (Array.isArray(value)) throw new LineError('is a JSON array; write one object a line ({"prompt": …})')
  if (typeof value !== 'object' || value === null) throw new LineError(`is ${show(value)}, not a JSON object`)
  return value as JsonObject
}

/** The field's value; undefined when it is missing or null (which is how tables export an empty cell). */
export function field(record: JsonObject, name: string): unknown {
  return Object.hasOwn(record, name) ? (record[name] ?? undefined) : undefined
}

/** @throws LineError that names the keys that are there, so that a misspelt one is seen. */
export function missing(record: JsonObject, wanted: string): LineError {
  const keys = clip(Object.keys(record).join(', '), 120)
  return new LineError(`${wanted} is missing (the line has ${keys === '' ? 'no keys' : keys})`)
}

/** @throws LineError unless `value` is a string that can be written as UTF-8. */
export function checkText(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new LineError(`\`${name}\` must be a string, but is ${show(value)}`)
  if (LONE_SURROGATE.test(value)) {
    throw new LineError(`\`${name}\` holds half of a surrogate pair, which is no character`)
  }
  return value
}

/** @throws LineError unless `value` is a non-empty list of `{ role, content }`. */
export function checkMessages(value: unknown, name: string): Message[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new LineError(`\`${name}\` must be a list of { role, content } messages, but is ${show(value)}`)
  }
  return value.map((message: unknown, i) => {
    if (typeof message !== 'object' || message === null) {
      throw new LineError(`\`${name}[${i}]\` must be a { role, content } message, but is ${show(message)}`)
    }
    const role = field(message as JsonObject, 'role')
    if (typeof role !== 'string' || !ROLES.includes(role)) {
      throw new LineError(`\`${name}[${i}].role\` must be one of ${ROLES.join(', ')}, but is ${show(role)}`)
    }
    const content = checkText(field(message as JsonObject, 'content'), `${name}[${i}].content`)
    return { role: role as Role, content }
  })
}

/** A finite number within [min, max], or undefined when the field is missing. */
export function optionalNumber(
  record: JsonObject,
  name: string,
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
): number | undefined {
  const value = field(record, name)
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value) || value < min || value > max) {
    const range =
      max !== Number.POSITIVE_INFINITY
        ? `a number from ${min} to ${max}`
        : min !== Number.NEGATIVE_INFINITY
          ? `a number, ${min} or more`
          : 'a finite number'
    throw new LineError(`\`${name}\` must be ${range}, but is ${show(value)}`)
  }
  return value
}

/** A value as an error message shows it: JSON, cut where it is long. */
export function show(value: unknown): string {
  if (value === undefined) return 'missing'
  if (typeof value === 'number') return String(value)
  return clip(JSON.stringify(value), SHOWN_LENGTH)
}

/** At most `length` characters of `text`, with an ellipsis where it was cut. */
export function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`
}
