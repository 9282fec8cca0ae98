/**
 * Random small cases of every op, as conformance.test.ts. PREFGRAD_SEED=n tries others (a failure prints the seed that brings
 * it back), PREFGRAD_RUNS=n more of them.
 */
import { test } from 'node:test'
import fc from 'fast-check'
import { conforms } from './conformance.ts'
import { seeded } from './reference/draw.ts'
import { eachSample, opNames, referenceOf, roundedSample } from './run_op.ts'

const seed = Number(process.env.PREFGRAD_SEED ?? 20261121)
const numRuns = Number(process.env.PREFGRAD_RUNS ?? 100)

for (const name of opNames) {
  test(`${name} gives what its reference gives on random cases (seed ${seed})`, async () => {
    const property = fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 32 - 1 }), async (draw) => {
      const sample = roundedSample(referenceOf(name).random(seeded(draw)))
      await eachSample(name, (one) => conforms(name, one), [sample])
    })
    // A smaller draw is not a simpler case: the first failure says it best.
    await fc.assert(property, { seed, numRuns, endOnFailure: true })
  })
}
