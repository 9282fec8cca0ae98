/** Wrong names, element types and shapes, for every op from its row alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Call, eachOp, goodCall, refused, type Wrapped, works } from './bad_calls.ts'
import type { Dtype } from './reference/types.ts'
import { assertSameBits, type Plain, rows } from './run_op.ts'

/** The call with one input replaced. */
const replaced = (call: Call, key: string, value: unknown): Call => ({
  ...call,
  inputs: { ...call.inputs, [key]: value as Wrapped },
})

test('a required input that is missing is named', () => {
  eachOp((name) => {
    for (const [key, { optional }] of Object.entries(rows[name].inputs)) {
      if (optional === true) continue
      for (const nothing of [undefined, null]) {
        const call = replaced(goodCall(name), key, nothing)
        const { fix } = refused({ ...goodCall(name) }, `${key} missing`, { code: 'ERR_ARGUMENT', arg: key }, call)
        assert.ok(fix?.startsWith(`${key}: `), 'the fix says what it is')
      }
    }
  })
})

test('a name that the op does not have is answered with the one that was meant', () => {
  eachOp((name) => {
    const { inputs, outputs, options } = rows[name]
    const typo = (key: string) => `${key.slice(0, -1)}${key.endsWith('x') ? 'y' : 'x'}`
    const code = 'ERR_ARGUMENT'
    for (const key of Object.keys(inputs).filter((one) => one.length > 3)) {
      const call = goodCall(name)
      const given = { ...call.inputs, [typo(key)]: call.inputs[key] }
      const { fix } = refused(call, `input ${typo(key)}`, { code, arg: typo(key) }, { inputs: given })
      assert.match(fix!, /^Did you mean '\w+'\?$/)
    }
    for (const key of Object.keys(outputs)) {
      const out = { [`${key}s${key}`]: new Float32Array(1) }
      refused(goodCall(name), `output ${key}s${key}`, { code, arg: `${key}s${key}` }, { settings: { out } })
    }
    for (const key of Object.keys(options).filter((one) => one.length > 3)) {
      const given = { ...goodCall(name).options, [typo(key)]: 1 }
      const { fix } = refused(goodCall(name), `option ${typo(key)}`, { code, arg: typo(key) }, { options: given })
      assert.match(fix!, /^Did you mean '\w+'\?$/)
    }
    refused(goodCall(name), 'a wrong setting', { code, arg: 'output' }, { settings: { output: {} } })
    refused(goodCall(name), 'a name of Object', { code }, { inputs: { ...goodCall(name).inputs, toString: 1 } })
    for (const [what, given] of [
      ['inputs', { inputs: undefined }],
      ['inputs', { inputs: null }],
      ['inputs', { inputs: 7 }],
      ['settings', { settings: null }],
      ['settings', { settings: 'out' }],
      ['out', { settings: { out: null } }],
      ['out', { settings: { out: 3 } }],
    ] as const) {
      refused(goodCall(name), `${what} that are no object`, { code }, given)
    }
  })
})

test('valid is what people mean who say mask', () => {
  const call = goodCall('gae')
  const { fix } = refused(call, 'mask', { code: 'ERR_ARGUMENT', arg: 'mask' }, { inputs: { ...call.inputs, mask: 1 } })
  assert.equal(fix, "Did you mean 'valid'?")
})

const WRONG: readonly [string, (length: number) => unknown][] = [
  ['an array', (length) => Array.from({ length }, () => 0)],
  ['a DataView', (length) => new DataView(new ArrayBuffer(4 * length))],
  ['an ArrayBuffer', (length) => new ArrayBuffer(4 * length)],
  ['a Float64Array', (length) => new Float64Array(length)],
  ['a Uint8ClampedArray', (length) => new Uint8ClampedArray(length)],
  ['an Int16Array', (length) => new Int16Array(length)],
  ['a number', () => 3],
  ['a string', () => 'abc'],
  ['a function', () => () => 1],
  ['an empty object', () => ({})],
  ['an array with a shape', (length) => ({ data: Array.from({ length }, () => 0), shape: [length] })],
  [
    'something that says it is one',
    (length) => ({ length, buffer: new ArrayBuffer(4), [Symbol.toStringTag]: 'Float32Array' }),
  ],
  ['a proxy of one', (length) => new Proxy(new Float32Array(length), {})],
]

test('what is no array of the right type is refused with both names', () => {
  eachOp((name) => {
    for (const [key, { dtypes = ['f32'] as readonly Dtype[] }] of Object.entries(rows[name].inputs)) {
      const call = goodCall(name)
      const length = call.inputs[key]?.data.length ?? 4
      const others = [
        ...WRONG,
        ...(dtypes.includes('f32') ? [] : [['a Float32Array', () => new Float32Array(length)] as const]),
        ...(dtypes.includes('i32') ? [] : [['an Int32Array', () => new Int32Array(length)] as const]),
        ...(dtypes.includes('u8') ? [] : [['a Uint8Array', () => new Uint8Array(length)] as const]),
        ['a Uint16Array without a dtype', () => new Uint16Array(length)] as const,
        ['a dtype that is none', () => ({ data: new Float32Array(length), shape: [length], dtype: 'f64' })] as const,
        ['a dtype that it is not', () => ({ data: new Uint8Array(length), shape: [length], dtype: 'f32' })] as const,
      ]
      for (const [what, make] of others) {
        const error = refused(
          call,
          `${key} is ${what}`,
          { code: 'ERR_DTYPE', arg: key },
          replaced(call, key, make(length)),
        )
        assert.match(error.message, /must/)
      }
    }
    for (const [key, { data, shape }] of Object.entries(goodCall(name).out)) {
      const call = goodCall(name)
      const out = { ...call.out, [key]: { data: new Float64Array(data.length), shape } }
      refused(call, `out.${key} is a Float64Array`, { code: 'ERR_DTYPE', arg: `out.${key}` }, { settings: { out } })
    }
  })
})

/** A copy of an argument with other sizes. */
const resized = ({ data, dtype }: Wrapped, shape: readonly number[]): Wrapped => {
  const length = shape.reduce((size, n) => size * n, 1)
  const Constructor = data.constructor as new (length: number) => Plain
  const made = new Constructor(length)
  made.set(data.subarray(0, length))
  return { data: made, shape, dtype }
}

test('a size that disagrees with another argument is refused', () => {
  eachOp((name) => {
    const { inputs: specs, dimsFrom = {} } = rows[name]
    const given = Object.keys(goodCall(name).inputs)
    const letters = (key: string) => specs[key].shape.map((dim) => String(dim).replace(/^\*|\+1$/g, ''))
    for (const key of given) {
      const { shape } = goodCall(name).inputs[key]
      const names = letters(key)
      const leading = shape.length - names.length + 1
      for (let d = 0; d < shape.length; d++) {
        const letter = d < leading ? names[0] : names[d - leading + 1]
        const elsewhere = given.some((other) => other !== key && letters(other).includes(letter))
        const isFixed = /^\d+$/.test(letter) || letter in dimsFrom
        if (!elsewhere && !isFixed) continue
        const call = goodCall(name)
        const longer = shape.map((n, at) => (at === d ? n + 1 : n))
        const bad = replaced(call, key, resized(call.inputs[key], longer))
        refused(call, `${key} is [${longer}] instead of [${shape}]`, { code: 'ERR_SHAPE' }, { ...bad, settings: {} })
      }
      if (!String(specs[key].shape[0]).startsWith('*')) {
        const call = goodCall(name)
        const deeper = replaced(call, key, { ...call.inputs[key], shape: [...shape, 1] })
        refused(call, `${key} is [${shape}, 1]`, { code: 'ERR_SHAPE', arg: key }, deeper)
        const none = replaced(call, key, resized(call.inputs[key], []))
        refused(call, `${key} is []`, { code: 'ERR_SHAPE', arg: key }, none)
      }
    }
    for (const [key, { shape }] of Object.entries(goodCall(name).out)) {
      const call = goodCall(name)
      const longer = shape.map((n, at) => (at === 0 ? n + 1 : n))
      const out = { ...call.out, [key]: resized(call.out[key], longer) }
      refused(call, `out.${key} is [${longer}]`, { code: 'ERR_SHAPE' }, { settings: { out } })
    }
  })
})

test('a shape that is none is refused before anything is made for it', () => {
  eachOp((name) => {
    for (const key of Object.keys(goodCall(name).inputs)) {
      const call = goodCall(name)
      const { data, dtype } = call.inputs[key]
      const shapes: [unknown, string][] = [
        [undefined, 'ERR_SHAPE'],
        ['3', 'ERR_SHAPE'],
        [[-1, -data.length], 'ERR_SHAPE'],
        [[data.length + 1], 'ERR_SHAPE'],
        [[0.5, 2 * data.length], 'ERR_SHAPE'],
        [[Number.NaN], 'ERR_SHAPE'],
        [[String(data.length)], 'ERR_SHAPE'],
        [[BigInt(data.length)], 'ERR_SHAPE'],
        [[4294967296 + data.length], 'ERR_SHAPE'],
        [[2 ** 40, 2 ** 40], 'ERR_SIZE'],
      ]
      for (const [shape, code] of shapes) {
        const bad = replaced(call, key, { data, shape, dtype })
        refused(call, `${key} has shape ${String(shape)}`, { code, arg: key }, bad)
      }
    }
  })
})

test('ids may be u32 or i64, and are never cut to fit', () => {
  eachOp((name) => {
    for (const [key, { dtypes = [], updated }] of Object.entries(rows[name].inputs)) {
      const plain = goodCall(name).inputs[key]
      if (plain === undefined || !dtypes.includes('i32') || updated === true) continue
      const before = works(goodCall(name))
      const wide = goodCall(name)
      const big = BigInt64Array.from(plain.data as Int32Array, BigInt)
      assertSameBits(before, works(replaced(wide, key, { data: big, shape: plain.shape })), `${name}: ${key} as i64`)
      if (plain.data.every((id) => id >= 0)) {
        const unsigned = Uint32Array.from(plain.data)
        const call = replaced(goodCall(name), key, { data: unsigned, shape: plain.shape })
        assertSameBits(before, works(call), `${name}: ${key} as u32`)
      }
      const last = big.length - 1
      for (const huge of [2n ** 32n, 2n ** 31n, -(2n ** 31n) - 1n, 2n ** 62n]) {
        const bad = big.slice()
        bad[last] = huge
        const call = goodCall(name)
        const expected = { code: 'ERR_ID_RANGE', arg: key, index: last }
        const error = refused(
          call,
          `${key} holds ${huge}`,
          expected,
          replaced(call, key, { data: bad, shape: plain.shape }),
        )
        assert.equal(error.value, huge)
      }
    }
  })
})
