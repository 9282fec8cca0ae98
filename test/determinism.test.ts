/**
 * The promise of ops.md, "Determinism": same call, same bits, whatever the threads do, and for each row or sequence whatever
 * else is in the batch. Knows no op by name.
 */
import { test } from 'node:test'
import { goodCall, works } from './bad_calls.ts'
import type { Sample, Values } from './reference/types.ts'
import {
  assertSameBits,
  deviceOf,
  eachSample,
  opNames,
  type Plain,
  type Run,
  referenceOf,
  rows,
  runSample,
} from './run_op.ts'

const dimsOf = (name: string, input: string) => rows[name].inputs[input].shape
/** Of an output, or of an input that the op updates. */
const resultDims = (name: string, key: string) => (rows[name].outputs[key] ?? rows[name].inputs[key]).shape

/** Elements [from, to) of the first dimension. */
const cut = (values: Values, from: number, to: number, shape: readonly number[], stride: number): Values => ({
  ...values,
  shape,
  data: Array.from(values.data).slice(from * stride, to * stride),
})

const strideOf = (values: Values, leading: number): number =>
  values.shape.slice(leading).reduce((size, n) => size * n, 1)

for (const name of opNames) {
  const spec = rows[name]

  test(`${name}: three threads that fight over every item give the bits of one`, async () => {
    const [alone, crowd] = [await deviceOf(undefined, 1), await deviceOf(undefined, 3, 1)]
    await eachSample(name, (sample) => {
      const once = runSample(name, sample, alone)
      assertSameBits(once, runSample(name, sample, alone), 'when run again')
      assertSameBits(once, runSample(name, sample, crowd), 'on three threads')
    })
  })

  test(`${name}: arrays may begin anywhere`, () => {
    const before = works(goodCall(name))
    for (let place = 0; place < 16; place++) {
      const call = goodCall(name)
      for (const group of [call.inputs, call.out]) {
        for (const one of Object.values(group)) one.data = movedBy(one.data, place)
      }
      assertSameBits(before, works(call), `when every array begins at its element ${place}`)
    }
  })

  const rowwise = Object.keys(spec.outputs).filter((output) => resultDims(name, output)[0] === '*N')
  const updatedRows = Object.keys(spec.inputs).filter(
    (input) => spec.inputs[input].updated && dimsOf(name, input)[0] === '*N',
  )
  const byRow = [...rowwise, ...updatedRows]
  const independent = referenceOf(name).joinsRows === undefined

  if (spec.sequences === undefined && byRow.length > 0 && independent) {
    test(`${name}: the first rows alone have the bits that they have in the batch`, async () => {
      const device = await deviceOf()
      await eachSample(name, (sample) => {
        const like = Object.keys(sample.inputs).find((input) => dimsOf(name, input)[0] === '*N')!
        const leading = sample.inputs[like].shape.length - dimsOf(name, like).length + 1
        const N = sample.inputs[like].shape.slice(0, leading).reduce((size, n) => size * n, 1)
        const all = runSample(name, sample, device)
        for (const count of new Set([1, Math.ceil(N / 2), N - 1].filter((k) => k > 0 && k < N))) {
          const inputs = Object.fromEntries(
            Object.entries(sample.inputs).map(([key, values]) => {
              if (dimsOf(name, key)[0] !== '*N') return [key, values]
              const shape = [count, ...values.shape.slice(leading)]
              return [key, cut(values, 0, count, shape, strideOf(values, leading))]
            }),
          )
          const few = runSample(name, { ...sample, inputs }, device)
          for (const key of byRow) {
            if (few[key] === undefined) continue
            assertSameBits(
              { [key]: few[key] },
              { [key]: all[key].subarray(0, few[key].length) as Plain },
              `with ${N} rows`,
            )
          }
        }
      })
    })
  }

  const isLoss = Object.values(spec.outputs).some(({ shape }) => shape.every((dim) => typeof dim === 'number'))
  if (spec.sequences !== undefined && !isLoss) {
    test(`${name}: a sequence alone has the bits that it has in the batch`, async () => {
      const device = await deviceOf()
      await eachSample(name, (sample) => {
        const spans = spansOf(name, sample)
        if (spans === undefined || spans.length < 2) return
        const all = runSample(name, sample, device)
        for (const b of new Set([0, 1, Math.floor(spans.length / 2), spans.length - 1])) {
          compareSequence(name, sample, spans, b, all, runSample(name, onlySequence(name, sample, spans, b), device))
        }
      })
    })
  }

  if (spec.sequences !== undefined) {
    test(`${name}: packed sequences have the bits of padded ones`, async () => {
      const device = await deviceOf()
      await eachSample(name, (sample) => {
        const packed = packedSample(name, sample)
        if (packed === undefined) return
        assertSameBits(runSample(name, sample, device), runSample(name, packed, device), 'when packed')
      })
    })
  }
}

/** The same elements behind `place` others. */
const movedBy = (array: Plain, place: number): Plain => {
  const larger = new (array.constructor as new (length: number) => Plain)(array.length + place)
  larger.set(array, place)
  return larger.subarray(place) as Plain
}

interface Span {
  start: number
  end: number
}

const leadOf = (name: string, sample: Sample): readonly number[] => {
  const input = Object.keys(sample.inputs).find((key) => dimsOf(name, key)[0] === '*N')!
  const { shape } = sample.inputs[input]
  return shape.slice(0, shape.length - dimsOf(name, input).length + 1)
}

/** Where the sequences of a sample lie; undefined: it is flat, and has none. */
const spansOf = (name: string, sample: Sample): Span[] | undefined => {
  const { offsets } = sample.inputs
  if (offsets !== undefined) {
    return Array.from({ length: offsets.data.length - 1 }, (_, b) => ({
      start: offsets.data[b],
      end: offsets.data[b + 1],
    }))
  }
  const lead = leadOf(name, sample)
  if (lead.length !== 2) return undefined
  return Array.from({ length: lead[0] }, (_, b) => ({ start: b * lead[1], end: (b + 1) * lead[1] }))
}

const isPacked = (sample: Sample): boolean => sample.inputs.offsets !== undefined

/** The same call with sequence `b` only. */
const onlySequence = (name: string, sample: Sample, spans: readonly Span[], b: number): Sample => {
  const { start, end } = spans[b]
  const leading = isPacked(sample) ? 1 : 2
  const inputs = Object.fromEntries(
    Object.entries(sample.inputs).map(([key, values]) => {
      const first = dimsOf(name, key)[0]
      if (key === 'offsets') return [key, { ...values, data: [0, end - start], shape: [2] }]
      if (first === 'B') return [key, cut(values, b, b + 1, [1, ...values.shape.slice(1)], strideOf(values, 1))]
      if (first === 'N')
        return [key, cut(values, start, end, [end - start, ...values.shape.slice(1)], strideOf(values, 1))]
      if (first !== '*N' && first !== '*M') return [key, values]
      const stride = strideOf(values, leading)
      if (isPacked(sample)) return [key, cut(values, start, end, [end - start, ...values.shape.slice(1)], stride)]
      // A cache [B, S, ..] has its own number of columns.
      const columns = values.shape[1]
      return [key, cut(values, b * columns, (b + 1) * columns, [1, ...values.shape.slice(1)], stride)]
    }),
  )
  return { ...sample, inputs }
}

const compareSequence = (
  name: string,
  sample: Sample,
  spans: readonly Span[],
  b: number,
  all: Run,
  alone: Run,
): void => {
  const N = leadOf(name, sample).reduce((size, n) => size * n, 1)
  for (const key of Object.keys(alone)) {
    const first = resultDims(name, key)[0]
    const width = all[key].length / Math.max(1, first === 'B' ? spans.length : N)
    const [from, to] = first === 'B' ? [b, b + 1] : [spans[b].start, spans[b].end]
    const part = all[key].subarray(from * width, to * width) as Plain
    assertSameBits({ [key]: alone[key] }, { [key]: part }, `when sequence ${b} is one of ${spans.length}`)
  }
}

/** [B, T] as [B T] with offsets; undefined where the sample is packed, flat, or reads a cache. */
const packedSample = (name: string, sample: Sample): Sample | undefined => {
  const lead = leadOf(name, sample)
  if (isPacked(sample) || lead.length !== 2 || sample.inputs.keyLengths !== undefined) return undefined
  const [B, T] = lead
  const inputs: Record<string, Values> = {
    offsets: { data: Array.from({ length: B + 1 }, (_, b) => b * T), shape: [B + 1], dtype: 'i32' },
  }
  for (const [key, values] of Object.entries(sample.inputs)) {
    const first = dimsOf(name, key)[0]
    const flattens = first === '*N' || first === '*M'
    inputs[key] = flattens ? { ...values, shape: [B * T, ...values.shape.slice(2)] } : values
  }
  return { ...sample, inputs }
}
