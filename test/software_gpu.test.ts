import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openBrowser, serveFolder } from './browser.ts'
import { prepareSoftwareGpu, softwareAdapters, softwareGpu } from './software_gpu.ts'

/** c = a + b of 1000 numbers on a device. It stands alone, so that a page can run its text. */
const addOnDevice = async (device: GPUDevice): Promise<number[]> => {
  const count = 1000
  // The values of GPUBufferUsage and GPUMapMode, which Node has no globals for.
  const [MAP_READ, COPY_SRC, COPY_DST, STORAGE, READ] = [1, 4, 8, 128, 1]
  const bytes = 4 * count
  const [a, b, c] = [0, 1, 2].map(() => device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC | COPY_DST }))
  const result = device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST })
  device.queue.writeBuffer(
    a,
    0,
    Float32Array.from({ length: count }, (_, index) => index),
  )
  device.queue.writeBuffer(
    b,
    0,
    Float32Array.from({ length: count }, (_, index) => index / 4),
  )
  const code = `
    @group(0) @binding(0) var<storage, read> a: array<f32>;
    @group(0) @binding(1) var<storage, read> b: array<f32>;
    @group(0) @binding(2) var<storage, read_write> c: array<f32>;
    @compute @workgroup_size(64) fn add(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&c)) { c[id.x] = a[id.x] + b[id.x]; }
    }`
  const module = device.createShaderModule({ code })
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } })
  const entries = [a, b, c].map((buffer, binding) => ({ binding, resource: { buffer } }))
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }))
  pass.dispatchWorkgroups(Math.ceil(count / 64))
  pass.end()
  encoder.copyBufferToBuffer(c, 0, result, 0, bytes)
  device.queue.submit([encoder.finish()])
  await result.mapAsync(READ)
  const sums = Array.from(new Float32Array(result.getMappedRange()))
  device.destroy()
  return sums
}

const SUMS = Array.from({ length: 1000 }, (_, index) => index * 1.25)

const limitsOf = ({ limits }: GPUAdapter): string =>
  JSON.stringify(
    Object.fromEntries(Object.keys(Object.getPrototypeOf(limits)).map((name) => [name, limits[name as never]])),
  )

for (const { name, open } of await softwareAdapters()) {
  test(`${name} is a software adapter that adds two arrays`, async (t) => {
    const started = performance.now()
    const gpu = await open()
    const adapter = await gpu.requestAdapter()
    assert.ok(adapter)
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info
    t.diagnostic(
      `${(performance.now() - started).toFixed(1)} ms: ${[vendor, architecture, device, description].join(', ')}`,
    )
    t.diagnostic(`features: ${[...adapter.features].sort().join(' ')}`)
    t.diagnostic(`limits: ${limitsOf(adapter)}`)
    assert.equal(isFallbackAdapter, true)
    assert.match(description, name === 'swiftshader' ? /SwiftShader/ : /llvmpipe/)
    assert.deepEqual(await addOnDevice(await adapter.requestDevice()), SUMS)
    assert.equal(await open(), gpu)
  })
}

test('the GPU stays alive when its caller keeps only the device', async () => {
  const device = await (await (await softwareGpu()).requestAdapter())!.requestDevice()
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  for (let turn = 0; turn < 3; turn++) {
    collect()
    await setImmediate()
  }
  assert.deepEqual(await addOnDevice(device), SUMS)
})

test('a child process finds the adapter by its environment alone', () => {
  const code = `import { create } from 'webgpu'
    globalThis.gpu = create([])
    console.log((await gpu.requestAdapter())?.info.description)`
  const env = { ...process.env, ...prepareSoftwareGpu() }
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { env, encoding: 'utf8' })
  assert.match(output, /SwiftShader/)
})

test('a page of the headless browser adds two arrays on its own device', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-page-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script src="add.js"></script>',
  )
  writeFileSync(join(folder, 'add.js'), `addOnDevice = ${addOnDevice}`)
  const server = await serveFolder(folder)
  t.after(server.close)
  const started = performance.now()
  const { page, complaints, close } = await openBrowser()
  t.after(close)
  t.diagnostic(`${(performance.now() - started).toFixed(1)} ms to launch`)
  await page.goto(server.url)
  const [isFallback, limits] = (await page.evaluate(`(async () => {
    globalThis.adapter = await navigator.gpu.requestAdapter()
    const { maxStorageBufferBindingSize, maxComputeInvocationsPerWorkgroup } = adapter.limits
    return [adapter.info.isFallbackAdapter, { maxStorageBufferBindingSize, maxComputeInvocationsPerWorkgroup }]
  })()`)) as [boolean, object]
  t.diagnostic(`limits: ${JSON.stringify(limits)}`)
  assert.equal(isFallback, true)
  const sums = await page.evaluate('adapter.requestDevice().then(addOnDevice)')
  assert.deepEqual(sums, SUMS)
  assert.deepEqual(complaints, [])
  t.diagnostic(`${(performance.now() - started).toFixed(1)} ms in all`)
})

test('the folder server names types, and serves nothing outside of its folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-serve-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'a b.mjs'), 'export default 1')
  const server = await serveFolder(folder)
  try {
    const served = await fetch(`${server.url}/a%20b.mjs?x=1`)
    assert.equal(served.headers.get('content-type'), 'text/javascript; charset=utf-8')
    assert.equal(await served.text(), 'export default 1')
    for (const path of ['/', '/none.js', '/..%2f..%2fetc/hostname', '/%zz']) {
      const { status } = await fetch(server.url + path)
      assert.equal(status, 404, path)
    }
  } finally {
    await server.close()
  }
})
