/** What nvcc makes of the kernels: every architecture, no warnings, nothing spilled, no atomics on floating-point numbers. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { test } from 'node:test'
import { build } from './cuda_build.ts'

const skip = build.findNvcc() === undefined ? 'nvcc is not installed' : false

test('all kernels compile for all architectures, warnings being errors, into less than 4 MB', { skip }, async () => {
  const fatbin = await build.buildFatbin()
  const bytes = statSync(fatbin).size
  assert.ok(bytes > 10_000 && bytes < 4e6, `${bytes} bytes`)
})

for (const architecture of ['80', '90', '120']) {
  test(`no kernel spills or needs a stack on sm_${architecture}, and sums have one order`, { skip }, async () => {
    const { says, ptx } = await build.compileReport(architecture)
    const functions = [
      ...says.matchAll(/Function properties for (\w+)\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)/g),
    ]
    assert.ok(functions.length > 0, says)
    const bad = functions.filter(([, , ...bytes]) => bytes.some((count) => count !== '0')).map(([line]) => line)
    assert.deepEqual(bad, [])
    const entries = [...ptx.matchAll(/\.entry (\w+)/g)].map(([, name]) => name)
    assert.equal(entries.length, functions.length)
    const atomics = ptx.split('\n').filter((line) => /\b(atom|red)\b.*\.(f16|bf16|f32|f64)/.test(line))
    assert.deepEqual(atomics, [])
    // A flag for all threads of a block: local memory means an array that was not kept in registers.
    const local = ptx.split('\n').filter((line) => /\.local\b/.test(line))
    assert.deepEqual(local, [])
  })
}
