/** What `npm run bench` compares whole steps by, on models that take milliseconds. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { largestError } from '../bench/accuracy.ts'
import type { Family } from '../bench/cases/family.ts'
import { families } from '../bench/cases/index.ts'
import { scaledLength, scaledRows } from '../bench/cases/scaled.ts'
import { configOf, forwardOperations, seededPolicy } from '../bench/cases/step_models.ts'
import { dpoStepFamily, ppoStepFamily } from '../bench/cases/steps.ts'
import { refuseSlowGemm } from '../bench/fairness.ts'
import { peers } from '../bench/peers/index.ts'
import { tensorflow } from '../bench/peers/tensorflow.ts'
import { prefgradImplementations } from '../bench/prefgrad.ts'
import type { About, CaseResult, Peer, Session, SharedInputs, Work } from '../bench/types.ts'
import type { Device } from '../lib/device.ts'
import { openDevice } from '../lib/index.ts'
import { benchWith } from './bench_world.ts'
import { refusal } from './worked.ts'

const STEPS: readonly Family[] = [ppoStepFamily, dpoStepFamily]
/** Seven thousand parameters, and sequences of 8 tokens. */
const SHAPE = [0, 3, 8]
const ISA = 'baseline'

const outputsOf = async (work: Work, device: Device): Promise<Record<string, ArrayLike<number>>> => {
  const [own] = await prefgradImplementations(work, device)
  const outputs = await own.outputs!()
  await own.dispose?.()
  return outputs
}

/** Inputs as other processes read them. */
const share = (work: Work, path: string): SharedInputs => ({
  async file() {
    const file = await open(path, 'w')
    const inputs: Awaited<ReturnType<SharedInputs['file']>>['inputs'] = {}
    let offset = 0
    for (const [name, { data, shape, dtype }] of Object.entries(work.inputs)) {
      inputs[name] = { dtype, shape, offset }
      await file.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      offset += data.byteLength
    }
    await file.close()
    return { path, inputs }
  },
})

/** A peer with prefgrad's own results, one of them changed by `change`. */
const fakePeer = (
  outputs: Record<string, ArrayLike<number>>,
  change: (all: Record<string, ArrayLike<number>>) => void,
) => {
  const all = { ...outputs }
  change(all)
  const about: About = { peer: 'torch', version: 'made up', threads: 1, isa: ISA, details: [], gemm: 1e9 }
  const session: Session = {
    about,
    load: async () => [{ name: 'torch eager', peer: 'torch', sample: async () => 1e6, outputs: async () => all }],
    close: async () => {},
  }
  return { name: 'torch', install: '', missing: async () => undefined, open: async () => session } satisfies Peer
}

/** What a bench without ceilings makes of a peer; the speed of its matrix product does not matter. */
const benched = async (family: Family, peer: Peer): Promise<CaseResult> => {
  const bench = benchWith(peer)
  const anyBlas: Family = {
    ...family,
    make: (...given) => {
      const { peerGemm, ...work } = family.make(...given)
      return work
    },
  }
  try {
    return await bench.run({ family: anyBlas, shape: SHAPE, dtype: 'f32', isas: [ISA] }, ISA)
  } finally {
    await bench.close()
  }
}

describe('whole steps in the bench', () => {
  let device: Device
  let folder: string
  before(async () => {
    device = await openDevice('cpu', { threads: 1 })
    folder = mkdtempSync(join(tmpdir(), 'bench-steps-'))
  })
  after(() => {
    device.dispose()
    rmSync(folder, { recursive: true })
  })

  test('models have the parameters that their shape says, and other sizes are refused', () => {
    for (const millions of [1, 30]) {
      const policy = seededPolicy(device, configOf(millions), { seed: 1 })
      const { count } = policy.parameters()
      assert.ok(Math.abs(count / 1e6 / millions - 1) < 0.1, `${count} parameters`)
      policy.dispose()
    }
    assert.throws(() => configOf(7), refusal('ERR_USAGE', 'shape'))
  })

  test('operations of a model are those of its matrix products, a backward pass being two more', () => {
    // 2304 weights a layer: q and o 2 x 16 x 16, k and v 2 x 16 x 8, the block 3 x 16 x 32. 24 tokens meet them; 3 x 36 pairs of a
    // query and a key take 2 x 16 each. So 2 layers x (24 x 2304 + 108 x 32) + 10 rows x 61 x 16 = 127,264, and two for each.
    const operations = forwardOperations(configOf(0), { sequences: 3, length: 8, rows: 10 })
    assert.equal(operations, 2 * 127_264)
    // 3 sequences of 8 tokens, 6 of each behind the prompt.
    const rows = forwardOperations(configOf(0), { sequences: 3, length: 8, rows: 18 })
    assert.equal(ppoStepFamily.make(SHAPE, 'f32', device).operations, 3 * rows)
  })

  for (const family of STEPS) {
    test(`${family.op}: a first step leaves a loss, a norm and gradients that reach every weight`, async () => {
      const work = family.make(SHAPE, 'f32', device)
      const outputs = await outputsOf(work, device)
      assert.deepEqual(Object.keys(outputs).sort(), [...work.judged].sort())
      for (const [name, values] of Object.entries(outputs)) {
        const data = Array.from(values)
        assert.ok(data.every(Number.isFinite), name)
        assert.ok(
          data.some((x) => x !== 0),
          `${name} is zero`,
        )
      }
    })

    test(`${family.op}: PyTorch, where it is there, has the same loss and gradients within 1e-4`, async (t) => {
      const torch = peers.find(({ name }) => name === 'torch')!
      const missing = await torch.missing()
      if (missing !== undefined) return t.skip(missing)
      const work = { ...family.make(SHAPE, 'f32', device), compiled: false }
      const exact = await outputsOf(work, device)
      const session = await torch.open({ threads: 1, isa: ISA })
      try {
        const [eager] = await session.load(work, share(work, join(folder, `${family.op}.bin`)))
        const outputs = await eager.outputs!()
        for (const name of work.judged) {
          const error = largestError({ [name]: outputs[name] }, { [name]: exact[name] })
          assert.ok(error <= work.tolerance, `${name} is off by ${error}`)
        }
      } finally {
        await session.close()
      }
    })
  }

  test('TensorFlow.js, where it is there, has the same log-probabilities and gradients of losses', async (t) => {
    const missing = await tensorflow.missing()
    if (missing !== undefined) return t.skip(missing)
    const bench = benchWith(tensorflow)
    try {
      for (const [op, shape] of Object.entries({ tokenLogprobs: [6, 40], ppoPolicyLoss: [50], dpoLoss: [50] })) {
        const family = families.find((one) => one.op === op)!
        const { rows } = await bench.run({ family, shape, dtype: 'f32', isas: [ISA] }, ISA)
        const theirs = rows.filter(({ peer }) => peer === 'tensorflow')
        assert.ok(theirs.length > 0, op)
        for (const row of theirs) {
          assert.equal(row.failed, undefined, row.implementation)
          assert.ok(row.maxError! < 1e-5, `${op}, ${row.implementation}: ${row.maxError}`)
        }
      }
    } finally {
      await bench.close()
    }
  })

  test('one gradient that differs by a thousandth of the largest is enough to refuse the ratio', async () => {
    const [family] = STEPS
    const outputs = await outputsOf(family.make(SHAPE, 'f32', device), device)
    const same = await benched(
      family,
      fakePeer(outputs, () => {}),
    )
    assert.ok(same.rows.find(({ peer }) => peer === 'torch')!.ratio! > 1)
    const name = 'model.layers.1.mlp.up_proj.weight'
    const other = await benched(
      family,
      fakePeer(outputs, (all) => {
        const changed = Float32Array.from(all[name])
        const largest = changed.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
        changed[5] += 1e-3 * largest
        all[name] = changed
      }),
    )
    const row = other.rows.find(({ peer }) => peer === 'torch')!
    assert.match(row.failed!, /no ratio: wrong result/)
    assert.equal(row.ratio, undefined)
  })

  test('a peer that lacks one of the gradients is refused too', async () => {
    const [family] = STEPS
    const outputs = await outputsOf(family.make(SHAPE, 'f32', device), device)
    const result = await benched(
      family,
      fakePeer(outputs, (all) => {
        delete all['value_head.weight']
      }),
    )
    assert.match(result.rows.find(({ peer }) => peer === 'torch')!.failed!, /no ratio/)
  })

  test('a matrix product below half of the multiply-add peak is refused, with the package that mends it', () => {
    const at = (gemm: number | undefined, peak: number | undefined) =>
      refuseSlowGemm({ ...(gemm === undefined ? {} : { gemm }), threads: 2, isa: 'avx2' }, peak, 0.5)
    assert.match(at(6, 236)!, /6 of 236 GFLOP\/s \(2 threads, avx2\).*libopenblas0-pthread/)
    assert.match(at(117, 236)!, /below 50 %/)
    assert.equal(at(118, 236), undefined)
    assert.equal(at(undefined, 236), undefined)
    assert.match(at(6, undefined)!, /npm run build/)
  })

  test('shapes are scaled to memory in whole powers of two, and say what they stand for', () => {
    const GiB = 2 ** 30
    assert.deepEqual(scaledRows([8192, 128256], 'f32', 64 * GiB), {
      shape: [512, 128256],
      note: '8192x128256 scaled to 512 rows',
    })
    assert.deepEqual(scaledRows([8192, 128256], 'bf16', 64 * GiB).shape, [1024, 128256])
    assert.deepEqual(scaledRows([8192, 128256], 'f32', 4 * GiB).shape, [128, 128256])
    assert.deepEqual(scaledRows([64, 152064], 'f32', 64 * GiB), { shape: [64, 152064] })
    assert.deepEqual(scaledLength(100_000_000, 2 ** 29, 64 * GiB), { shape: [100_000_000] })
    assert.deepEqual(scaledLength(100_000_000, 2 ** 29, 8 * GiB), {
      shape: [33_000_000],
      note: '100000000 scaled to 33000000 elements',
    })
  })
})
