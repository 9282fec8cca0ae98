/** What losses on tokens on cuda promise beyond their references: bits of packed and padded calls, and sizes with a counting launch. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, klPenalty, ppoPolicyLoss, ppoValueLoss, whiten } from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { deviceOf } from './run_op.ts'
import { allNear, i32, normals, refusal, sameBits } from './worked.ts'

type Plain = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>
type Given = Record<string, { data: Plain; shape: readonly number[] } | Plain>
type Op = (inputs: object, options?: object) => Record<string, { read(): Promise<unknown> }>

const OPS: [string, Op, string[]][] = [
  ['ppoPolicyLoss', ppoPolicyLoss as unknown as Op, ['logprob', 'oldLogprob', 'advantage', 'weight']],
  ['klPenalty', klPenalty as unknown as Op, ['logprob', 'refLogprob', 'weight']],
  ['ppoValueLoss', ppoValueLoss as unknown as Op, ['value', 'oldValue', 'returns']],
]

const run = async (device: Device, op: Op, inputs: Given, options: object) => {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([key, x]) => [
      key,
      'shape' in x ? device.tensor(x.data, x.shape) : device.tensor(x, [x.length]),
    ]),
  )
  const results: Record<string, Float32Array> = {}
  for (const [key, tensor] of Object.entries(op(tensors, options))) {
    if (typeof tensor?.read === 'function') results[key] = (await tensor.read()) as Float32Array
  }
  return results
}

const optionsOf = (name: string): object[] => {
  const own = name === 'ppoValueLoss' ? { clip: 0.2 } : {}
  return [
    ...['token-mean', 'sequence-mean', 'sequence-mean-token-sum', 'token-sum'].map((aggregate) => ({
      ...own,
      aggregate,
    })),
    ...(name === 'ppoPolicyLoss'
      ? [{ ratioLevel: 'sequence' }, { ratioLevel: 'sequence', sequenceGradient: 'token' }]
      : []),
  ]
}

for (const kind of await cudaDevices()) {
  for (const [name, op, arrays] of OPS) {
    test(`${name} on ${kind} gives packed sequences the bits of padded ones`, async () => {
      const device = await cudaDevice(kind)
      const lengths = [3000, 1, 0, 1024, 1025, 70]
      const [B, T] = [lengths.length, 3500]
      const starts = lengths.map((_, b) => lengths.slice(0, b).reduce((sum, n) => sum + n, 0))
      const N = starts[B - 1] + lengths[B - 1]
      const flat = Object.fromEntries(arrays.map((key, k) => [key, normals(k, N, 0.3)]))
      const padded = Object.fromEntries(
        arrays.map((key) => {
          const data = new Float32Array(B * T).fill(Number.NaN)
          for (const [b, n] of lengths.entries()) data.set(flat[key].subarray(starts[b], starts[b] + n), b * T)
          return [key, { data, shape: [B, T] }]
        }),
      )
      const valid = { data: new Uint8Array(B * T), shape: [B, T] }
      for (const [b, n] of lengths.entries()) valid.data.fill(1, b * T, b * T + n)
      for (const options of optionsOf(name)) {
        const short = await run(device, op, { ...flat, offsets: i32(...starts, N) }, options)
        const long = await run(device, op, { ...padded, valid }, options)
        sameBits(short.loss, long.loss)
        sameBits(short.stats, long.stats)
        const grad = name === 'ppoValueLoss' ? 'gradValue' : 'gradLogprob'
        for (const [b, n] of lengths.entries()) {
          sameBits(short[grad].subarray(starts[b], starts[b] + n), long[grad].subarray(b * T, b * T + n))
        }
      }
    })

    test(`${name} on ${kind} refuses offsets that fall, and works again afterwards`, async () => {
      const device = await cudaDevice(kind)
      const refused = (B: number) => {
        const starts = Array.from({ length: B + 1 }, (_, b) => 3 * b).with(4, 1)
        const inputs = Object.fromEntries(arrays.map((key, k) => [key, normals(k, 3 * B, 0.3)]))
        return assert.rejects(run(device, op, { ...inputs, offsets: i32(...starts) }, {}), (error: unknown) => {
          assert.equal((error as { index: number }).index, 4)
          return refusal('ERR_OFFSETS', 'offsets')(error as Error)
        })
      }
      const inputs = Object.fromEntries(arrays.map((key, k) => [key, normals(k, 3000, 0.3)]))
      const good = { ...inputs, offsets: i32(0, 1000, 1000, 3000) }
      const before = await run(device, op, good, {})
      await refused(5)
      await refused(2100)
      const after = await run(device, op, good, {})
      for (const key of Object.keys(before)) sameBits(after[key], before[key])
    })
  }

  test(`klPenalty on ${kind} is as the cpu has it, for more tokens and sequences than a block counts alone`, async () => {
    const [, op, arrays] = OPS[1]
    const device = await cudaDevice(kind)
    const cpu = await deviceOf()
    const agree = async (inputs: Given, options: object) => {
      const [got, expected] = [await run(device, op, inputs, options), await run(cpu, op, inputs, options)]
      for (const key of Object.keys(expected)) allNear(got[key], expected[key], 2)
    }
    const shape = [3, 45_000]
    const N = 135_000
    const dense = Object.fromEntries(arrays.map((key, k) => [key, { data: normals(k, N, 0.3), shape }]))
    const flags = Uint8Array.from(normals(9, N), (x) => (x > -1 ? 1 : 0))
    await agree({ ...dense, valid: { data: flags, shape } }, { aggregate: 'token-mean' })
    const starts = Array.from({ length: 2201 }, (_, b) => 2 * b + (b > 7 ? 3000 : 0))
    const packed = Object.fromEntries(arrays.map((key, k) => [key, normals(k, starts[2200], 0.3)]))
    await agree({ ...packed, offsets: i32(...starts) }, { aggregate: 'sequence-mean' })
  })

  test(`whiten on ${kind} is as the cpu has it, in one launch and in two`, async () => {
    const device = await cudaDevice(kind)
    for (const N of [8192, 8193, 50_001]) {
      const inputs = { x: normals(1, N, 3), valid: Uint8Array.from(normals(2, N), (x) => (x > -1 ? 1 : 0)) }
      const got = await run(device, whiten as unknown as Op, inputs, {})
      const expected = await run(await deviceOf(), whiten as unknown as Op, inputs, {})
      allNear(got.y, expected.y, 1)
    }
  })
}
