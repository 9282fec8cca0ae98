import { PrefgradError } from '../errors.ts'

/**
 * JSON text from which `JSON.parse` makes the very same value. `JSON.stringify` turns NaN into null, drops −0's sign
 * and empties typed arrays, all without a word; a run restored from that would silently be another run. Members that
 * are `undefined` are left out.
 *
 * @param path how error messages call the value.
 * @throws PrefgradError `ERR_ARGUMENT` naming the first part that JSON cannot hold.
 */
export function exactJson(value: unknown, path: string): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number' && Number.isFinite(value)) return Object.is(value, -0) ? '-0' : String(value)
  if (Array.isArray(value)) {
    // Array.from also visits the holes of a sparse array, which must be refused as undefined.
    return `[${Array.from(value, (item, i) => exactJson(item, `${path}[${i}]`)).join(',')}]`
  }
  if (isPlainObject(value)) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => `${JSON.stringify(key)}:${exactJson(member, `${path}.${key}`)}`)
    return `{${members.join(',')}}`
  }
  throw new PrefgradError('ERR_ARGUMENT', `${path} is ${describe(value)}, which JSON cannot hold.`, {
    arg: path,
    value,
    fix: 'Keep finite numbers, strings, booleans, null, plain arrays and objects there; arrays of numbers are tensors.',
  })
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function describe(value: unknown): string {
  return typeof value === 'object' ? `a ${value?.constructor?.name ?? 'object'}` : `${typeof value} ${String(value)}`
}
