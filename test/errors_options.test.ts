/** Options out of range, of the wrong type, or that change while they are read: for every op from its row alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Words } from '../lib/options.ts'
import type { OptionSpec } from '../lib/spec/schema.ts'
import { eachOp, errorOf, goodCall, refused, type Wrapped, works } from './bad_calls.ts'
import { assertSameBits, opOf, type Plain, rows } from './run_op.ts'

const TOO_MUCH = 1e300

/** Values that an option must refuse, by its row. */
const wrongValues = (option: OptionSpec): unknown[] => {
  const never = [null, '1', {}, [], () => 1, Symbol.iterator]
  switch (option.type) {
    case 'number':
    case 'integer': {
      const { min, max, above, below } = option
      const outside = [
        ...(min === undefined ? [] : [min - 1, -TOO_MUCH, min - Math.max(1e-12, Math.abs(min) * 1e-12)]),
        ...(max === undefined ? [] : [max + 1, TOO_MUCH, max + Math.max(1e-12, Math.abs(max) * 1e-12)]),
        ...(above === undefined ? [] : [above, above - 1]),
        ...(below === undefined ? [] : [below, below + 1]),
      ]
      const uneven = option.type === 'integer' ? [1.5, 2 ** 53, TOO_MUCH] : []
      return [...never, true, 1n, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, ...outside, ...uneven]
    }
    case 'seed':
      return [...never, true, -1, -1n, 0.5, 2 ** 53, 2n ** 64n, Number.NaN]
    case 'boolean':
      return [...never, 0, 1, 'true']
    case 'enum':
      return [...never, 0, 1, true, 'toString', '__proto__', '', ` ${option.values[0]}`, option.values[0].toUpperCase()]
  }
}

test('an option out of its range, or of another type, is refused with its range', () => {
  eachOp((name) => {
    for (const [key, option] of Object.entries(rows[name].options)) {
      for (const value of wrongValues(option)) {
        const options = { ...goodCall(name).options, [key]: value }
        const what = `${key} is ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`
        const error = refused(goodCall(name), what, { code: 'ERR_OPTION', arg: key }, { options })
        assert.match(error.message, new RegExp(`${key} must be .*, and is `), what)
        assert.ok(Object.is(error.value, value), `${name}, ${what}: the error has the value`)
      }
      if ('required' in option) {
        const { [key]: _, ...options } = goodCall(name).options
        refused(goodCall(name), `${key} is missing`, { code: 'ERR_ARGUMENT', arg: key }, { options })
      }
    }
    for (const options of [null, 7, 'options']) {
      refused(goodCall(name), `options are ${options}`, { code: 'ERR_OPTION' }, { options })
    }
  })
})

test('integers reach the kernel whole: 2^32 + 5 is not 5, and -1 has all its bits', () => {
  const words = new Words(4)
  const signed = new BigInt64Array(words.u32.buffer)
  const whole = [
    0,
    5,
    -1,
    -100,
    2 ** 31,
    2 ** 32,
    2 ** 32 + 5,
    -(2 ** 32) - 5,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ]
  for (const value of whole) {
    words.setInteger(1, value)
    assert.equal(signed[1], BigInt(value))
  }
  for (const value of [0n, 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n]) {
    words.setBigint(2, value)
    assert.equal(BigInt.asUintN(64, signed[2]), value)
  }
  assert.deepEqual([signed[0], signed[3]], [0n, 0n])
})

test('an option that is undefined is one that was left out', () => {
  eachOp((name) => {
    const unset = Object.fromEntries(Object.keys(rows[name].options).map((key) => [key, undefined]))
    const before = works(goodCall(name))
    const call = goodCall(name)
    assertSameBits(before, works({ ...call, options: { ...unset, ...call.options } }), name)
  })
})

test('accumulate takes true or names of gradients that out gives', () => {
  eachOp((name) => {
    const gradients = Object.entries(rows[name].outputs).filter(([, output]) => output.gradient === true)
    const other = Object.keys(rows[name].outputs).find((key) => rows[name].outputs[key].gradient !== true)
    const withOptions = (accumulate: unknown) => ({ options: { ...goodCall(name).options, accumulate } })
    for (const value of ['yes', 1, {}, ...(gradients.length === 0 ? [true, []] : [])]) {
      const what = `accumulate is ${JSON.stringify(value)}`
      refused(goodCall(name), what, { code: 'ERR_OPTION', arg: 'accumulate' }, withOptions(value))
    }
    if (gradients.length === 0) return
    const code = 'ERR_ARGUMENT'
    refused(goodCall(name), 'accumulate names nothing', { code }, withOptions([]))
    refused(goodCall(name), 'accumulate names what is not there', { code, arg: 'nope' }, withOptions(['nope']))
    if (other !== undefined) refused(goodCall(name), 'accumulate names no gradient', { code }, withOptions([other]))
    refused(goodCall(name), 'nothing to add to', { code }, { ...withOptions(true), settings: {} })
    const [[key]] = gradients
    if (!(key in goodCall(name).out)) return
    const { [key]: _, ...out } = goodCall(name).out
    refused(goodCall(name), `out lacks ${key}`, { code, arg: key }, { ...withOptions([key]), settings: { out } })
  })
})

test('a prepared call changes dynamic options only, and all or nothing', () => {
  eachOp((name) => {
    const { options } = rows[name]
    const call = goodCall(name)
    const before = works(goodCall(name))
    const prepared = opOf(name).prepare(call.inputs, call.options, { out: call.out })
    const dynamic = Object.keys(options).filter((key) => options[key].dynamic === true)
    const refusedSet = (values: object, code: string, what: string) =>
      errorOf(name, () => prepared.set(values), { code }, `${name}: ${what}`)
    for (const key of Object.keys(options)) {
      const option = options[key]
      if (option.dynamic !== true) {
        refusedSet({ [key]: option.default }, 'ERR_ARGUMENT', `set ${key}`)
        continue
      }
      const isSet = (call.options[key] ?? option.default) !== undefined
      for (const value of wrongValues(option))
        refusedSet({ [key]: value }, 'ERR_OPTION', `set ${key} to ${String(value)}`)
      refusedSet({ [key]: isSet ? undefined : 1 }, 'ERR_OPTION', `add or take ${key}`)
    }
    refusedSet({ unheardOf: 1 }, 'ERR_ARGUMENT', 'set what is not there')
    for (const nothing of [null, undefined, 3]) refusedSet(nothing as unknown as object, 'ERR_OPTION', `set ${nothing}`)
    const [first] = dynamic.filter((key) => (call.options[key] ?? options[key].default) !== undefined)
    if (first !== undefined) refusedSet({ [first]: 3, unheardOf: 1 }, 'ERR_ARGUMENT', 'set a good and a bad one')
    prepared.run()
    const updated = Object.keys(call.inputs).filter((key) => rows[name].inputs[key].updated === true)
    const results = Object.fromEntries([
      ...Object.entries(call.out).map(([key, { data }]) => [key, data]),
      ...updated.map((key) => [key, call.inputs[key].data]),
    ]) as Record<string, Plain>
    assertSameBits(before, results, `${name}: after refused changes`)
  })
})

/** An object whose properties count how often they are read. */
const counting = <T extends object>(target: T, counts: Map<string, number>, prefix: string): T => {
  const watched = {}
  for (const [key, value] of Object.entries(target)) {
    Object.defineProperty(watched, key, {
      enumerable: true,
      get: () => {
        counts.set(prefix + key, (counts.get(prefix + key) ?? 0) + 1)
        return value
      },
    })
  }
  return watched as T
}

test('everything that a user hands over is read exactly once', () => {
  eachOp((name) => {
    const before = works(goodCall(name))
    const counts = new Map<string, number>()
    const call = goodCall(name)
    const watch = (all: Record<string, Wrapped>, prefix: string) =>
      counting(
        Object.fromEntries(Object.entries(all).map(([key, one]) => [key, counting(one, counts, `${prefix}${key}.`)])),
        counts,
        prefix,
      )
    const [inputs, out] = [watch(call.inputs, ''), watch(call.out, 'out.')]
    const results = opOf(name)(
      inputs,
      counting(call.options, counts, 'option '),
      counting({ out }, counts, 'settings.'),
    )
    const bits = Object.fromEntries(Object.entries(results).map(([key, { data }]) => [key, data as Plain]))
    assertSameBits(bits, before, `${name}: read through getters`)
    for (const [what, count] of counts) assert.equal(count, 1, `${name} reads ${what} ${count} times`)
  })
})

test('a getter that throws leaves everything as it was, and one that calls the op itself does no harm', () => {
  eachOp((name) => {
    const before = works(goodCall(name))
    const places = [
      ...Object.keys(goodCall(name).inputs).map((key) => ['inputs', key] as const),
      ...Object.keys(goodCall(name).options).map((key) => ['options', key] as const),
      ...Object.keys(goodCall(name).out).map((key) => ['out', key] as const),
    ]
    for (const [group, key] of places) {
      const call = goodCall(name)
      const value = (call[group] as Record<string, unknown>)[key]
      const hooked = (get: () => unknown) => {
        const own = goodCall(name)
        Object.defineProperty(own[group], key, { enumerable: true, get })
        return own
      }
      const thrower = hooked(() => {
        throw new RangeError('mine')
      })
      const kept = thrower.out
      assert.throws(() => opOf(name)(thrower.inputs, thrower.options, { out: kept }), {
        name: 'RangeError',
        message: 'mine',
      })
      for (const other of Object.keys(kept)) {
        if (group === 'out' && other === key) continue
        assert.ok(
          new Uint8Array(kept[other].data.buffer).every((byte) => byte === 0xab),
          `${name}: ${other} was written`,
        )
      }
      const nested = hooked(() => {
        works(goodCall(name))
        return value
      })
      const results = opOf(name)(nested.inputs, nested.options, { out: nested.out })
      const bits = Object.fromEntries(Object.entries(results).map(([k, { data }]) => [k, data as Plain]))
      assertSameBits(bits, before, `${name}: ${group} ${key} called the op while it was read`)
    }
  })
})
