import type { Reference, Sample } from '../types.ts'
import { lastOf, normals, seeded, sequencesOf, zeros } from './common.ts'
import { pooledRows, reference as poolRows } from './pool_rows.ts'

/** The backward call of a forward sample: `like` is its x. */
function backwardOf(sample: Sample, seed: number): Sample {
  const { x, ...others } = sample.inputs
  const B = sequencesOf(x, others.offsets).length
  return { ...sample, inputs: { gradPooled: normals(seeded(seed), [B, lastOf(x)]), like: x, ...others } }
}

/** `gradX_bt = gradPooled_b / count_b` for valid t, or `gradPooled_b` at the last valid t. */
export const reference: Reference = {
  samples: () => poolRows.samples().map((sample, at) => backwardOf(sample, 720 + at)),
  random: (random) => backwardOf(poolRows.random(random), random.integer(0, 1e6)),
  compute(inputs, options) {
    const { gradPooled, like, offsets } = inputs
    const H = lastOf(like)
    const gradX = zeros(like.shape)
    sequencesOf(like, offsets).forEach((sequence, b) => {
      const rows = pooledRows(sequence, inputs, options)
      for (const n of rows) {
        for (let h = 0; h < H; h++) gradX.data[n * H + h] = gradPooled.data[b * H + h] / rows.length
      }
    })
    return { gradX }
  },
  tolerances: { gradX: { ulp: 2, reason: 'one quotient, or a product with the rounded inverse of the count' } },
  derivative: {
    objective({ gradPooled, like, ...others }, options) {
      const { y } = poolRows.compute({ x: like, ...others }, options)
      return Array.from(y.data).reduce((sum, value, at) => sum + value * gradPooled.data[at], 0)
    },
    gradients: { gradX: 'like' },
  },
  masked: { by: 'valid', inputs: ['like'], outputs: ['gradX'] },
}
