/** What every sample of every op must pass, fixed or random. */
import assert from 'node:assert/strict'
import { mismatch } from './allclose.ts'
import { decode } from './encode.ts'
import type { Dtype, Sample, Values } from './reference/types.ts'
import { assertSameBits, deviceOf, isas, type Run, referenceOf, rows, runSample, withDefaults } from './run_op.ts'

/** These promise each other's bits; the baseline has no fma and may differ. */
const EQUAL = ['avx512', 'avx2']

/** The sample with what must not matter made as bad as can be: NaN, ids of nothing, flags that are set. */
export const poisoned = (sample: Sample, by: string, names: readonly string[]): Sample => {
  const mask = sample.inputs[by].data
  const inputs = { ...sample.inputs }
  for (const name of names) {
    const values = inputs[name]
    if (values === undefined) continue
    const width = values.data.length / Math.max(1, mask.length)
    const bad = values.dtype === 'i32' ? 2 ** 30 : values.dtype === 'u8' ? 255 : Number.NaN
    const data = Float64Array.from(values.data, (x, i) => (mask[Math.floor(i / width)] === 0 ? bad : x))
    inputs[name] = { ...values, data }
  }
  return { ...sample, inputs }
}

/** Units in the last place that a device may lose at least: webgpu has no f64, and cuda adds some sums up in f32. */
const LEAST_ULP = { cpu: 0, webgpu: 8, cuda: 4 } as const

export const assertNear = (
  name: string,
  sample: Sample,
  got: Run,
  expected: Record<string, Values>,
  kind: 'cpu' | 'webgpu' | 'cuda' = 'cpu',
): void => {
  const options = withDefaults(rows[name], sample.options)
  const { tolerances } = referenceOf(name)
  assert.deepEqual(
    Object.keys(got).filter((key) => !(key in expected)),
    [],
    'every result has a reference',
  )
  for (const [key, { data, dtype = 'f32' }] of Object.entries(expected)) {
    assert.ok(key in got, `${key} is missing`)
    const own = tolerances[key]
    const base = kind === 'cpu' ? own : { ...own, ulp: Math.max(LEAST_ULP[kind], own.ulp), reason: 'f32 arithmetic' }
    const { ulp, reason, magnitude, extra } = { ...base, ...own[kind] }
    const bound = {
      ulp,
      reason,
      magnitude: magnitude?.(sample.inputs, options, expected),
      extra: extra?.(sample.inputs, options, expected),
      // WGSL may take subnormal numbers for 0, coming in and going out.
      absolute: kind === 'webgpu' ? 2 ** -125 : 0,
    }
    const problem = mismatch(decode(got[key], dtype as Dtype), data, dtype as Dtype, bound)
    assert.equal(problem, undefined, `${key}${problem}`)
  }
}

/** Outputs are exactly +0 where nothing counts. */
export const assertMaskedOutputs = (name: string, sample: Sample, got: Run): void => {
  const { masked } = referenceOf(name)
  const mask = masked === undefined ? undefined : sample.inputs[masked.by]?.data
  if (masked === undefined || mask === undefined) return
  for (const key of masked.outputs) {
    const width = got[key].length / Math.max(1, mask.length)
    const at = Array.from(got[key]).findIndex((x, i) => mask[Math.floor(i / width)] === 0 && !Object.is(x, 0))
    assert.equal(at, -1, `${key}[${at}] is ${got[key][at]} where nothing counts`)
  }
}

/** The same, and what lies there changes no bit of the others. */
const assertMasked = async (name: string, sample: Sample, isa: string, got: Run): Promise<void> => {
  assertMaskedOutputs(name, sample, got)
  const { masked } = referenceOf(name)
  if (masked === undefined || sample.inputs[masked.by] === undefined) return
  const bad = runSample(name, poisoned(sample, masked.by, masked.inputs), await deviceOf(isa))
  assertSameBits(got, bad, 'when what does not count is NaN')
}

/** The sample on every instruction set: near the reference, and in the bits that ops.md promises. */
export const conforms = async (name: string, sample: Sample): Promise<void> => {
  const expected = referenceOf(name).compute(sample.inputs, withDefaults(rows[name], sample.options))
  const runs = new Map<string, Run>()
  for (const isa of isas) {
    try {
      const got = runSample(name, sample, await deviceOf(isa))
      assertNear(name, sample, got, expected)
      assertSameBits(got, runSample(name, sample, await deviceOf(isa)), 'when run again')
      assertSameBits(got, runSample(name, sample, await deviceOf(isa, 2, 1)), 'on two threads')
      await assertMasked(name, sample, isa, got)
      runs.set(isa, got)
    } catch (error) {
      throw new Error(`cpu:${isa}: ${(error as Error).message}`, { cause: error })
    }
  }
  const [first, ...others] = EQUAL.filter((isa) => runs.has(isa))
  for (const isa of others) assertSameBits(runs.get(first)!, runs.get(isa)!, `on cpu:${first} and cpu:${isa}`)
}
