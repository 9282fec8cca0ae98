/** What nvcc makes of the kernels: every architecture, no warnings, nothing spilled, no atomics on floating-point numbers. */
import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { build } from './cuda_build.ts'
import { root } from './root.ts'

const skip = build.missingForFatbin() ?? false

test('all kernels compile for all architectures, warnings being errors, into less than 4 MB', { skip }, async () => {
  const fatbin = await build.buildFatbin()
  const bytes = statSync(fatbin).size
  assert.ok(bytes > 10_000 && bytes < 4e6, `${bytes} bytes`)
})

test('no kernel spills or needs a stack on any architecture', { skip }, async () => {
  await build.buildFatbin()
  const { says } = build.compileReport()
  const line =
    /Compiling entry function '(\w+)' for '(\w+)'\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)/g
  const functions = [...says.matchAll(line)]
  const bad = functions.filter(([, , , ...bytes]) => bytes.some((count) => count !== '0'))
  assert.deepEqual(
    bad.map(([, kernel, architecture]) => `${kernel} on ${architecture}`),
    [],
  )
  const kernels = new Set(functions.map(([, kernel]) => kernel))
  const compiled = new Set(functions.map(([, , architecture]) => architecture))
  assert.equal(compiled.size, build.ARCHITECTURES.length)
  assert.equal(functions.length, kernels.size * compiled.size)
  const declared = build
    .kernelFiles()
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/^PREFGRAD_KERNEL\((\w+),/gm)].map(([, name]) => name))
  assert.deepEqual(
    declared.filter((name) => !kernels.has(name)),
    [],
  )
  assert.ok(declared.length > 36, join(root, 'kernels'))
})

test('sums have one order: there are no atomics on floating-point numbers', { skip }, async () => {
  await build.buildFatbin()
  const { ptx } = build.compileReport()
  const virtual = new Set(build.ARCHITECTURES.map((architecture) => architecture.replace(/^8.$/, '80')))
  assert.deepEqual(ptx.map(({ name }) => name).sort(), [...virtual].map((name) => `kernels.compute_${name}.ptx`).sort())
  for (const { name, text } of ptx) {
    const atomics = text.split('\n').filter((line) => /\b(atom|red)\b.*\.(f16|bf16|f32|f64)/.test(line))
    assert.deepEqual(atomics, [], name)
  }
})
