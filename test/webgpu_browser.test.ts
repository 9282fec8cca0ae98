/** The browser bundle in a real page: every op against its reference, and a reward model that learns there. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { plans } from '../kernels/plans.ts'
import { openBrowser, serveFolder } from './browser.ts'
import { assertNear } from './conformance.ts'
import { encode } from './encode.ts'
import type { Dtype, Sample } from './reference/types.ts'
import { root } from './root.ts'
import { type Plain, type Run, referenceOf, rows, samplesOf, withDefaults } from './run_op.ts'

/** A tensor on its way to the page and back. */
interface Packed {
  base64: string
  shape: readonly number[]
  dtype: Dtype
}
interface Job {
  op: string
  inputs: Record<string, Packed>
  /** As JSON has no bigint: values with their kind. */
  options: Record<string, { big: boolean; value: number | boolean | string }>
}

const SMALL = 2000
/** Enough of an op to see that its kernels run here; test/webgpu_conformance.test.ts tries them all. */
const SAMPLES = 3

const pack = (sample: Sample): Record<string, Packed> =>
  Object.fromEntries(
    Object.entries(sample.inputs).map(([name, values]) => {
      const { data, shape, dtype } = encode(values)
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      return [name, { base64: bytes.toString('base64'), shape, dtype: dtype as Dtype }]
    }),
  )

const ARRAYS = { f32: Float32Array, bf16: Uint16Array, f16: Uint16Array, i32: Int32Array, u8: Uint8Array }

const unpack = ({ base64, dtype }: Packed): Plain => {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'))
  return new ARRAYS[dtype](bytes.buffer)
}

/** Runs in the page: what it does not get as an argument, it does not know. */
const PAGE = `
import * as prefgrad from './prefgrad.webgpu.js'
const arrays = { f32: Float32Array, bf16: Uint16Array, f16: Uint16Array, i32: Int32Array, u8: Uint8Array }
const device = await prefgrad.openDevice()
const base64 = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}
globalThis.run = async ({ op, inputs, options }) => {
  const tensors = {}
  for (const [name, { base64, shape, dtype }] of Object.entries(inputs)) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
    tensors[name] = device.tensor(new arrays[dtype](bytes.buffer), shape, dtype)
  }
  const values = Object.fromEntries(Object.entries(options).map(([k, { big, value }]) => [k, big ? BigInt(value) : value]))
  const outputs = prefgrad[op](tensors, values)
  const row = prefgrad.table[op]
  const all = { ...outputs }
  for (const [name, input] of Object.entries(row.inputs)) if (input.updated && tensors[name]) all[name] = tensors[name]
  const results = {}
  for (const [name, tensor] of Object.entries(all)) {
    results[name] = { base64: base64(await tensor.read()), shape: tensor.shape, dtype: tensor.dtype }
  }
  return results
}
/** A linear reward on features, by Bradley-Terry and AdamW: returns the losses. */
globalThis.train = async (steps) => {
  const { linear, linearBackward, bradleyTerryLoss, adamw, gradNorm } = prefgrad
  const [P, F] = [64, 16]
  let state = 1
  const uniform = () => (state = (state * 48271) % 2147483647) / 2147483647 - 0.5
  const hidden = Float32Array.from({ length: F }, uniform)
  const x = new Float32Array(2 * P * F).map(uniform)
  for (let p = 0; p < P; p++) {
    const score = (row) => hidden.reduce((sum, w, f) => sum + w * x[row * F + f], 0)
    if (score(p) >= score(P + p)) continue
    for (let f = 0; f < F; f++) [x[p * F + f], x[(P + p) * F + f]] = [x[(P + p) * F + f], x[p * F + f]]
  }
  const features = device.tensor(x, [2 * P, F])
  const weight = device.zeros([1, F])
  const [m, v, step] = [device.zeros([F]), device.zeros([F]), device.zeros([1], 'i32')]
  const gradY = device.zeros([2 * P, 1])
  const losses = []
  for (let i = 0; i < steps; i++) {
    const { y } = linear({ x: features, weight })
    const { loss } = bradleyTerryLoss(
      { chosen: y.reshape([2 * P]).view(0, [P]), rejected: y.reshape([2 * P]).view(P, [P]) },
      {},
      { out: { gradChosen: gradY.reshape([2 * P]).view(0, [P]), gradRejected: gradY.reshape([2 * P]).view(P, [P]) } },
    )
    const { gradWeight } = linearBackward({ gradY, x: features, weight })
    const { norm } = gradNorm({ grad: gradWeight.reshape([F]) })
    adamw({ param: weight.reshape([F]), grad: gradWeight.reshape([F]), m, v, step, norm }, { lr: 0.05 })
    losses.push((await loss.read())[0])
  }
  document.body.textContent = 'trained ' + steps + ' steps on ' + device.name + ', loss ' + losses.at(-1).toFixed(4)
  return losses
}
globalThis.ready = device.name
`

test('in a page every op gives what its reference gives, and a reward model learns', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-page-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { copyFileSync } = await import('node:fs')
  copyFileSync(join(root, 'dist/prefgrad.webgpu.js'), join(folder, 'prefgrad.webgpu.js'))
  writeFileSync(join(folder, 'page.js'), PAGE)
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="page.js"></script><body></body>',
  )
  const server = await serveFolder(folder)
  t.after(server.close)
  const { page, complaints, close } = await openBrowser()
  t.after(close)
  await page.goto(`${server.url}/index.html`)
  await page.waitForFunction('globalThis.ready !== undefined', undefined, { timeout: 30_000 })
  t.diagnostic(String(await page.evaluate('ready')))

  let tried = 0
  for (const op of Object.keys(plans)) {
    const small = samplesOf(op).filter(({ inputs }) =>
      Object.values(inputs).every(({ data }) => data.length <= SMALL && data.length > 0),
    )
    assert.ok(small.length > 0, `${op} has no small sample`)
    for (const sample of small.slice(0, SAMPLES)) {
      const options: Job['options'] = Object.fromEntries(
        Object.entries(sample.options ?? {}).map(([key, value]) => [
          key,
          typeof value === 'bigint' ? { big: true, value: value.toString() } : { big: false, value },
        ]),
      )
      const job: Job = { op, inputs: pack(sample), options }
      const results = (await page.evaluate(`run(${JSON.stringify(job)})`)) as Record<string, Packed>
      const got: Run = Object.fromEntries(Object.entries(results).map(([key, packed]) => [key, unpack(packed)]))
      const expected = referenceOf(op).compute(sample.inputs, withDefaults(rows[op], sample.options))
      try {
        assertNear(op, sample, got, expected, 'webgpu')
      } catch (error) {
        throw new Error(`${op}, ${sample.name}: ${(error as Error).message}`, { cause: error })
      }
      tried++
    }
  }
  t.diagnostic(`${tried} calls of ${Object.keys(plans).length} ops`)

  const losses = (await page.evaluate('train(30)')) as number[]
  assert.ok(Math.abs(losses[0] - Math.log(2)) < 1e-6, `weights of 0 give log 2, not ${losses[0]}`)
  assert.ok(losses[29] < 0.5 * losses[0], `the loss fell from ${losses[0]} to ${losses[29]} only`)
  assert.match(await page.innerText('body'), /^trained 30 steps on webgpu:/)
  assert.deepEqual(complaints, [])
})
