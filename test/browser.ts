/** A headless Chromium with WebGPU out of the dev dependency `@sparticuz/chromium`, and a server for its pages. */
import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, resolve, sep } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { FAST_ZEROING, unpacked } from './software_gpu.ts'

export interface OpenBrowser {
  browser: Browser
  page: Page
  /** What the page wrote to its console as an error or a warning, and what it threw, in order. */
  complaints: string[]
  close: () => Promise<void>
}

export interface FolderServer {
  /** `http://127.0.0.1:<port>`: a secure context, which `navigator.gpu` requires. */
  url: string
  close: () => Promise<void>
}

// Chromium takes SwiftShader and the Vulkan loader from its own folder.
const ARCHIVES = ['chromium.br', 'swiftshader.tar.br', 'al2023.tar.br', 'fonts.tar.br']

// The packed one names folders of a machine in a cloud. The prefix means: beside this file.
const FONTS = '<?xml version="1.0"?>\n<fontconfig><dir prefix="relative">fonts</dir></fontconfig>\n'

const FLAGS = [
  '--no-sandbox',
  '--ignore-gpu-blocklist',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--use-vulkan=swiftshader',
  '--enable-features=Vulkan',
  `--${FAST_ZEROING}`,
  // A page that needs anything from the network fails here as it would offline.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
]

/**
 * Starts Chromium and opens a blank page.
 *
 * @throws Error when the dependency is not installed, or this is not Linux on x64.
 */
export const openBrowser = async (): Promise<OpenBrowser> => {
  const folder = unpacked('browser', ARCHIVES, { 'fonts.conf': FONTS })
  const browser = await chromium.launch({
    executablePath: join(folder, 'chromium'),
    args: FLAGS,
    env: { ...process.env, LD_LIBRARY_PATH: join(folder, 'lib'), FONTCONFIG_FILE: join(folder, 'fonts.conf') },
  })
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`)
  })
  return { browser, page, complaints, close: () => browser.close() }
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.wgsl': 'text/plain; charset=utf-8',
}

/** The file that an address means, or `undefined`: nothing outside of the folder is served. */
const fileOf = (folder: string, address: string): string | undefined => {
  try {
    const wanted = resolve(folder, `.${decodeURIComponent(new URL(address, 'http://localhost').pathname)}`)
    if (wanted !== folder && !wanted.startsWith(folder + sep)) return undefined
    const file = statSync(wanted).isDirectory() ? join(wanted, 'index.html') : wanted
    return statSync(file).isFile() ? file : undefined
  } catch {
    return undefined
  }
}

/** Serves a folder's files on a free port of this machine alone. */
export const serveFolder = async (path: string): Promise<FolderServer> => {
  const folder = resolve(path)
  const server = createServer((request, response) => {
    const file = fileOf(folder, request.url ?? '/')
    if (file === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`no file at ${request.url}\n`)
      return
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'cache-control': 'no-store',
    })
    createReadStream(file).pipe(response)
  })
  await new Promise<void>((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${port}`, close }
}
