/** Every example, run as its readers would. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBrowser, serveFolder } from './browser.ts'
import { root } from './root.ts'
import { prepareSoftwareGpu } from './software_gpu.ts'

/** PREFGRAD_SCREENSHOTS=folder keeps pictures of the pages. */
const pictures = process.env.PREFGRAD_SCREENSHOTS

test('examples/browser trains a reward model in the page, and names a bad line', async (t) => {
  const server = await serveFolder(root)
  t.after(server.close)
  const { page, complaints, close } = await openBrowser()
  t.after(close)
  await page.setViewportSize({ width: 1200, height: 1400 })
  await page.goto(`${server.url}/examples/browser/index.html`)
  await page.waitForFunction("!document.getElementById('train').disabled", undefined, { timeout: 30_000 })
  assert.match(await page.innerText('#device'), /^Running on webgpu:/)
  assert.match(await page.innerText('#count'), /^24 pairs to train on, 6 held out$/)

  await page.fill('#steps', '80')
  await page.click('#train')
  await page.waitForFunction("/^done/.test(document.getElementById('progress').textContent)", undefined, {
    timeout: 120_000,
  })
  const [, loss, accuracy] = /^done: loss (\S+), (\d+) % of the held-out pairs right$/.exec(
    await page.innerText('#progress'),
  )!
  assert.ok(Number(loss) < 0.4, `loss ${loss}`)
  assert.ok(Number(accuracy) >= 80, `${accuracy} %`)
  await page.fill('#text', 'Whatever. Stop asking, not my problem.')
  await page.waitForFunction("document.getElementById('score').textContent.startsWith('-')", undefined, {
    timeout: 10_000,
  })
  await page.fill('#text', 'I am happy to help. Here is how, step by step.')
  await page.waitForFunction("document.getElementById('score').textContent.startsWith('+')", undefined, {
    timeout: 10_000,
  })
  if (pictures !== undefined) {
    mkdirSync(pictures, { recursive: true })
    await page.screenshot({ path: join(pictures, 'browser.png'), fullPage: true })
  }
  await page.fill('#pairs', '{"chosen": "a", "rejected": "b"}\n{"chosen": 1}')
  assert.match(await page.innerText('#count'), /^line 2 needs "chosen" and "rejected"/)
  assert.deepEqual(complaints, [])
})

/** Examples with libraries of their own: `npm ci` in their folder, which CI does and requires. */
const required = (process.env.PREFGRAD_REQUIRE ?? '').split(',').includes('examples')

for (const folder of ['tfjs', 'jax-js']) {
  for (const device of ['cpu', 'webgpu']) {
    test(`examples/${folder} trains on ${device}`, (t) => {
      const cwd = join(root, 'examples', folder)
      if (!existsSync(join(cwd, 'node_modules')) && !required) return t.skip(`npm ci in examples/${folder} first`)
      const env = { ...process.env, ...prepareSoftwareGpu() }
      const ran = spawnSync(process.execPath, [`${device}.js`], { cwd, env, encoding: 'utf8' })
      assert.equal(ran.status, 0, ran.stderr)
      const losses = [...ran.stdout.matchAll(/^step \d+ {2}loss (\S+)$/gm)].map(([, loss]) => Number(loss))
      assert.ok(losses.length >= 4 && losses[losses.length - 1] < 0.4 * losses[0], `losses ${losses}`)
      const [, share] = /^(\d+) % of the pairs right/m.exec(ran.stdout)!
      assert.ok(Number(share) >= 95, `${share} %`)
    })
  }
}
