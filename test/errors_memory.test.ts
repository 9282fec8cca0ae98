/** Memory that is gone, shared, or used twice, and things that were disposed: for every op from its row alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, openDevice, type Tensor } from '../lib/index.ts'
import { type Call, eachOp, errorOf, goodCall, refused, type Wrapped, works } from './bad_calls.ts'
import type { Dtype } from './reference/types.ts'
import { assertSameBits, opNames, opOf, type Plain, rows } from './run_op.ts'

type Constructor = new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => Plain

const constructorOf = ({ data }: Wrapped): Constructor => data.constructor as Constructor
const detach = (array: Plain): void => void structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })

/** The same elements in a buffer that can shrink; TypeScript's es2023 has no name for that yet. */
const shrinkable = (one: Wrapped, length = one.data.length): Wrapped & { shrink(): void } => {
  const { byteLength } = one.data
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: object,
  ) => ArrayBuffer & { resize(n: number): void }
  const buffer = new Resizable(byteLength, { maxByteLength: byteLength })
  const data = new (constructorOf(one))(buffer, 0, length)
  data.set(one.data)
  return { ...one, data, shrink: () => buffer.resize(0) }
}

const shared = (one: Wrapped): Wrapped => {
  const data = new (constructorOf(one))(new SharedArrayBuffer(one.data.byteLength))
  data.set(one.data)
  return { ...one, data }
}

/** Every argument of a call: inputs, then outputs, with the name that messages use. */
const argumentsOf = (call: Call): { group: 'inputs' | 'out'; key: string; arg: string }[] => [
  ...Object.keys(call.inputs).map((key) => ({ group: 'inputs' as const, key, arg: key })),
  ...Object.keys(call.out).map((key) => ({ group: 'out' as const, key, arg: `out.${key}` })),
]

const tensorsOf = (device: Device, all: Record<string, Wrapped>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(all).map(([key, { data, shape, dtype }]) => [
      key,
      device.tensor(data as Float32Array, shape, dtype) as unknown as Tensor,
    ]),
  )

const cpu = await openDevice('cpu', { threads: 1 })

test('detached memory is refused, as an array and as a tensor', () => {
  eachOp((name) => {
    for (const { group, key, arg } of argumentsOf(goodCall(name))) {
      const call = goodCall(name)
      detach(call[group][key].data)
      refused(call, `${arg} is detached`, { code: 'ERR_DETACHED', arg })

      const late = goodCall(name)
      const [inputs, out] = [tensorsOf(cpu, late.inputs), tensorsOf(cpu, late.out)]
      detach(late[group][key].data)
      refused(late, `the tensor ${arg} is detached`, { code: 'ERR_DETACHED', arg }, { inputs, settings: { out } })
    }
  })
})

test('memory that goes between prepare and run is refused, and the call works again with what is left', () => {
  eachOp((name) => {
    for (const { group, key, arg } of argumentsOf(goodCall(name))) {
      for (const how of ['detached', 'shrunk']) {
        const call = goodCall(name)
        const one = shrinkable(call[group][key])
        if (how === 'shrunk') call[group][key] = one
        const prepared = opOf(name).prepare(call.inputs, call.options, { out: call.out })
        if (how === 'shrunk') one.shrink()
        else detach(call[group][key].data)
        const what = `${name}: ${arg} ${how} after prepare`
        errorOf(name, () => prepared.run(), { code: 'ERR_DETACHED', arg }, what)
        for (const [other, { data }] of Object.entries(call.out)) {
          if (data.length === 0) continue
          const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
          assert.ok(
            bytes.every((byte) => byte === 0xab),
            `${what}: out.${other} was written`,
          )
        }
        prepared.dispose()
      }
    }
  })
})

test('memory that can shrink is as good as any until it does', () => {
  eachOp((name) => {
    const before = works(goodCall(name))
    for (const { group, key, arg } of argumentsOf(goodCall(name))) {
      const call = goodCall(name)
      const one = shrinkable(call[group][key])
      call[group][key] = one
      assertSameBits(
        works(call),
        group === 'out' ? { ...before, [key]: one.data } : before,
        `${name}: ${arg} could shrink`,
      )
      const gone = goodCall(name)
      const other = shrinkable(gone[group][key])
      gone[group][key] = other
      other.shrink()
      refused(gone, `${arg} was shrunk`, { code: 'ERR_DETACHED', arg })
    }
  })
})

test('shared memory can be read, and is never written', () => {
  eachOp((name) => {
    const before = works(goodCall(name))
    for (const { group, key, arg } of argumentsOf(goodCall(name))) {
      const call = goodCall(name)
      call[group][key] = shared(call[group][key])
      if (group === 'inputs' && rows[name].inputs[key].updated !== true) {
        assertSameBits(before, works(call), `${name}: ${arg} is shared`)
      } else refused(call, `${arg} is shared`, { code: 'ERR_SHARED_BUFFER', arg })
    }
  })
  assert.throws(() => cpu.tensor(new Float32Array(new SharedArrayBuffer(8))), { code: 'ERR_SHARED_BUFFER' })
})

/** Two arguments in one buffer: `b` begins at byte `offset` of `a`. */
const together = (a: Wrapped, b: Wrapped, offset: number): [Wrapped, Wrapped] => {
  const buffer = new ArrayBuffer(Math.max(a.data.byteLength, offset + b.data.byteLength))
  const second = new (constructorOf(b))(buffer, offset, b.data.length)
  second.set(b.data)
  const first = new (constructorOf(a))(buffer, 0, a.data.length)
  first.set(a.data)
  return [
    { ...a, data: first },
    { ...b, data: second },
  ]
}

/** Typed arrays begin at multiples of this. */
const step = (dtype: Dtype): number => ({ f32: 4, i32: 4, bf16: 2, f16: 2, u8: 1 })[dtype]

test('what is written may overlap nothing; in place only where the row says so', () => {
  eachOp((name) => {
    const { inputs, outputs } = rows[name]
    const all = argumentsOf(goodCall(name))
    const isWritten = ({ group, key }: (typeof all)[number]) => group === 'out' || inputs[key].updated === true
    for (const a of all) {
      for (const b of all) {
        if (a.arg === b.arg || !isWritten(b) || goodCall(name)[a.group][a.key].data.byteLength === 0) continue
        const call = goodCall(name)
        const [one, two] = [call[a.group][a.key], call[b.group][b.key]]
        const unit = Math.max(step(one.dtype), step(two.dtype))
        const overlapping = Math.floor((one.data.byteLength - 1) / unit) * unit
        ;[call[a.group][a.key], call[b.group][b.key]] = together(one, two, overlapping)
        const isSame = overlapping === 0 && one.data.byteLength === two.data.byteLength
        const replaces = b.group === 'out' && a.group === 'inputs' && outputs[b.key].inPlaceOf?.includes(a.key) === true
        if (!(isSame && replaces)) refused(call, `${b.arg} begins in ${a.arg}`, { code: 'ERR_ALIAS' })

        const exact = goodCall(name)
        if (one.data.byteLength === two.data.byteLength && !replaces) {
          ;[exact[a.group][a.key], exact[b.group][b.key]] = together(one, two, 0)
          refused(exact, `${b.arg} is ${a.arg}`, { code: 'ERR_ALIAS' })
        }
        if (replaces && outputs[b.key].gradient === true) {
          ;[exact[a.group][a.key], exact[b.group][b.key]] = together(one, two, 0)
          const options = { ...exact.options, accumulate: [b.key] }
          refused(exact, `${b.arg} is added to ${a.arg}`, { code: 'ERR_ALIAS', arg: b.arg }, { options })
        }
      }
    }
  })
})

test('arguments that only touch are no overlap', () => {
  eachOp((name) => {
    const before = works(goodCall(name))
    const call = goodCall(name)
    const sizes = argumentsOf(call).map(({ group, key }) => Math.ceil(call[group][key].data.byteLength / 4) * 4)
    const buffer = new ArrayBuffer(sizes.reduce((sum, n) => sum + n, 0))
    let offset = 0
    for (const [at, { group, key }] of argumentsOf(call).entries()) {
      const one = call[group][key]
      const data = new (constructorOf(one))(buffer, offset, one.data.length)
      data.set(one.data)
      call[group][key] = { ...one, data }
      offset += sizes[at]
    }
    assertSameBits(before, works(call), `${name}: side by side in one buffer`)
  })
})

test('disposed tensors, devices and prepared calls are refused; disposing twice is harmless', async () => {
  const gone = await openDevice('cpu', { threads: 1 })
  for (const name of opNames) {
    for (const { group, key, arg } of argumentsOf(goodCall(name))) {
      const call = goodCall(name)
      const tensors = { inputs: tensorsOf(cpu, call.inputs), out: tensorsOf(cpu, call.out) }
      const prepared = opOf(name).prepare(tensors.inputs, call.options, { out: tensors.out })
      tensors[group][key].dispose()
      tensors[group][key].dispose()
      const given = { inputs: tensors.inputs, settings: { out: tensors.out } }
      refused(call, `${arg} is disposed`, { code: 'ERR_DISPOSED', arg }, given)
      errorOf(name, () => prepared.run(), { code: 'ERR_DISPOSED' }, `${name}: run with ${arg} disposed`)
    }
    const call = goodCall(name)
    const prepared = opOf(name).prepare(call.inputs, call.options, { out: call.out })
    prepared.dispose()
    prepared.dispose()
    errorOf(name, () => prepared.run(), { code: 'ERR_DISPOSED' }, `${name}: run after dispose`)
    errorOf(name, () => prepared.set({}), { code: 'ERR_DISPOSED' }, `${name}: set after dispose`)
  }
  const calls = opNames.map((name) => {
    const call = goodCall(name)
    const inputs = tensorsOf(gone, call.inputs)
    return { call, inputs, prepared: opOf(name).prepare(inputs, call.options, { out: call.out }) }
  })
  gone.dispose()
  gone.dispose()
  for (const { call, inputs, prepared } of calls) {
    refused(call, 'the device is disposed', { code: 'ERR_DISPOSED' }, { inputs })
    errorOf(call.name, () => prepared.run(), { code: 'ERR_DISPOSED' }, `${call.name}: run after the device went`)
  }
  assert.throws(() => gone.tensor(new Float32Array(1)), { code: 'ERR_DISPOSED' })
  assert.throws(() => gone.empty([1]), { code: 'ERR_DISPOSED' })
  await assert.rejects(gone.check(), { code: 'ERR_DISPOSED' })
})

test('tensors of two devices do not meet; plain arrays go where the tensors are', async () => {
  const other = await openDevice('cpu', { threads: 2 })
  eachOp((name) => {
    const before = works(goodCall(name))
    const keys = argumentsOf(goodCall(name))
    const call = goodCall(name)
    const mine = { inputs: tensorsOf(cpu, call.inputs), out: tensorsOf(cpu, call.out) }
    const theirs = { inputs: tensorsOf(other, call.inputs), out: tensorsOf(other, call.out) }
    for (const { group, key, arg } of keys) {
      const mixed = { inputs: { ...mine.inputs }, out: { ...mine.out } }
      mixed[group][key] = theirs[group][key]
      if (keys.length > 1) {
        const given = { inputs: mixed.inputs, settings: { out: mixed.out } }
        refused(call, `${arg} is on another device`, { code: 'ERR_DEVICE_MISMATCH' }, given)
      }
      const plain = goodCall(name)
      const tensor = tensorsOf(other, plain[group])[key]
      const results = opOf(name)(
        group === 'inputs' ? { ...plain.inputs, [key]: tensor } : plain.inputs,
        plain.options,
        { out: group === 'out' ? { ...plain.out, [key]: tensor } : plain.out },
      )
      for (const result of Object.values(results)) assert.equal(result.device, other, `${name}: ${arg} is a tensor`)
      const bits = Object.fromEntries(Object.entries(results).map(([k, { data }]) => [k, data as Plain]))
      assertSameBits(bits, before, `${name}: ${arg} is a tensor among arrays`)
    }
  })
  other.dispose()
})
