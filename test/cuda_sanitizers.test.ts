/**
 * The CUDA kernels under sanitizers, on the emulator: AddressSanitizer and UndefinedBehaviorSanitizer for what they touch,
 * ThreadSanitizer for what two CUDA threads touch without a barrier between them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { build, runSuite, sanitizerLibrary } from './cuda_build.ts'
import { cudaDevices } from './cuda_world.ts'

const has = (await cudaDevices()).includes('cuda:emulated')

const SANITIZERS = [
  {
    name: 'address',
    sanitize: 'address,undefined',
    library: 'libasan.so',
    env: { ASAN_OPTIONS: 'detect_leaks=0', UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1' },
  },
  {
    name: 'thread',
    sanitize: 'thread',
    library: 'libtsan.so',
    // Node itself is not instrumented, and what it does is not looked at.
    env: { TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:exitcode=66' },
  },
]

for (const { name, sanitize, library, env } of SANITIZERS) {
  const path = sanitizerLibrary(library)
  const skip = !has ? 'the emulator is not built' : path === undefined ? `the compiler has no ${library}` : false
  test(`no kernel is faulted by the ${name} sanitizer`, { skip }, async () => {
    const emulator = await build.buildEmulator(`emulator-${name}`, { sanitize })
    // Reversed alone: races are found in any order, and bits under many orders are the other suite's.
    const { status, output } = runSuite('cuda_conformance.test.js', emulator, {
      ...env,
      LD_PRELOAD: path,
      PREFGRAD_SCHEDULES: 'reversed',
    })
    const found = output
      .split('\n')
      .filter((line) => /WARNING: ThreadSanitizer|ERROR: AddressSanitizer|runtime error/.test(line))
    assert.equal(status, 0, output.slice(-8000))
    assert.deepEqual(found, [])
    assert.match(output, /# pass [1-9]/)
  })
}
