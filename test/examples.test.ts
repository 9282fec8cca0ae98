/** Every example, run as its readers would. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBrowser, serveFolder } from './browser.ts'
import { root } from './root.ts'

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
