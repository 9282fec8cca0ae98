/**
 * The references' gradients against central differences of their own objectives, all in float64. The conformance suite then
 * compares the kernels with the references, so that no gradient is taken on trust.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Inputs, Options, Sample } from './reference/types.ts'
import { eachSample, opNames, referenceOf, rows, withDefaults } from './run_op.ts'

type Objective = (inputs: Inputs, options: Options) => number

/** Elements tried per input: the ends and some in between. */
const TRIED = 12

/**
 * (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12 h: off by h^4 f^(5) / 30, here below 1e-17 of the function's size, while
 * the rounding of f, 2^-53 of it, is blown up by 1.5 / h.
 */
const difference = (objective: Objective, inputs: Inputs, options: Options, name: string, i: number) => {
  const data = Float64Array.from(inputs[name].data)
  const moved = { ...inputs, [name]: { ...inputs[name], data } }
  const x = data[i]
  const h = 2 ** -16 * Math.max(1, Math.abs(x))
  const [far, near, back, behind] = [2, 1, -1, -2].map((k) => {
    data[i] = x + k * h
    return objective(moved, options)
  })
  return {
    slope: (8 * (near - back) - (far - behind)) / (12 * h),
    size: Math.max(...[far, near, back, behind].map(Math.abs)),
    h,
  }
}

const positions = (length: number): number[] => [
  ...new Set(
    Array.from({ length: Math.min(TRIED, length) }, (_, k) => Math.round((k * (length - 1)) / Math.max(1, TRIED - 1))),
  ),
]

for (const name of opNames) {
  const { derivative } = referenceOf(name)
  const gradients = Object.keys(rows[name].outputs).filter((output) => rows[name].outputs[output].gradient === true)
  if (derivative === undefined) {
    test(`${name} has no gradient that could be wrong`, () => {
      assert.deepEqual(gradients, [], `${name} needs \`derivative\` in its reference`)
    })
    continue
  }

  test(`${name}: every gradient is the slope of its objective`, async () => {
    assert.deepEqual(Object.keys(derivative.gradients).sort(), gradients.sort())
    const compared = new Set<string>()
    const check = (sample: Sample) => {
      if (sample.skipGradients !== undefined) return
      const options = withDefaults(rows[name], sample.options)
      const outputs = referenceOf(name).compute(sample.inputs, options)
      for (const [output, input] of Object.entries(derivative.gradients)) {
        if (outputs[output] === undefined) continue
        const { data, shape } = outputs[output]
        // What only the forward call has: the map is linear in it.
        const inputs = { [input]: { data: new Float64Array(data.length), shape }, ...sample.inputs }
        const largest = Math.max(0, ...Array.from(data, Math.abs))
        for (const i of positions(data.length)) {
          const { slope, size, h } = difference(derivative.objective, inputs, options, input, i)
          // What a backward op takes from its forward call (rowMax, inverseRms, y) was rounded to f32: a share of 1e-6. The
          // rounding of the objective's own sums, 2^-48 of it, is divided by h.
          const allowed = 1e-6 * (Math.abs(data[i]) + largest) + (2 ** -48 * size) / h
          const off = Math.abs(data[i] - slope)
          assert.ok(
            off <= allowed,
            `${output}[${i}] is ${data[i]}, the slope is ${slope}: off by ${off}, allowed ${allowed}`,
          )
        }
        if (data.length > 0) compared.add(output)
      }
    }
    await eachSample(name, check, referenceOf(name).samples())
    assert.deepEqual([...compared].sort(), gradients.sort(), 'every gradient was compared somewhere')
  })
}
