/**
 * A WebGPU adapter in software with no system package: SwiftShader, a Vulkan driver for the CPU, and the Vulkan loader
 * come out of the dev dependency `@sparticuz/chromium`, which carries them for its browser. Linux x64 only, as that is.
 */
import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { root } from './root.ts'

export interface SoftwareAdapter {
  name: 'swiftshader' | 'lavapipe'
  /** A GPU that offers this adapter alone; the same one on every call. */
  open: () => Promise<GPU>
}

const DEPENDENCY = join(root, 'node_modules', '@sparticuz', 'chromium')
const BLOCK = 512

const textAt = (block: Buffer, at: number, bytes: number): string =>
  block.toString('latin1', at, at + bytes).split('\0', 1)[0]

/** Writes the files of a tar archive (POSIX ustar; the archives here have no long names) below `folder`. */
const extract = (archive: Buffer, folder: string): void => {
  // The archive ends with blocks of zeros.
  for (let at = 0; at + BLOCK <= archive.length && archive[at] !== 0; ) {
    const header = archive.subarray(at, at + BLOCK)
    const name = textAt(header, 0, 100)
    const size = Number.parseInt(textAt(header, 124, 12), 8)
    const kind = textAt(header, 156, 1)
    const path = resolve(folder, name)
    const end = at + BLOCK + size
    if (!/^[05]?$/.test(kind) || !path.startsWith(folder + sep) || !(end <= archive.length)) {
      throw new Error(`tar: entry '${name}' of kind '${kind}' and ${size} bytes at offset ${at} cannot be unpacked`)
    }
    mkdirSync(kind === '5' ? path : dirname(path), { recursive: true })
    if (kind !== '5') {
      writeFileSync(path, archive.subarray(at + BLOCK, end), { mode: Number.parseInt(textAt(header, 100, 8), 8) })
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK
  }
}

/**
 * A cache folder with the content of archives of the dev dependency. It appears whole or not at all: each process
 * unpacks into a folder of its own and renames that, and the first one stays.
 *
 * @param name name of the folder.
 * @param archives files of `bin/`: `x.tar.br` is unpacked into the folder, `x.br` becomes the program `x`.
 * @param texts files to write over them, by name.
 * @returns its absolute path.
 * @throws Error when the dependency is not installed or this is not Linux on x64.
 */
export const unpacked = (name: string, archives: readonly string[], texts: Record<string, string> = {}): string => {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`the software GPU is for linux-x64, this is ${process.platform}-${process.arch}`)
  }
  const description = join(DEPENDENCY, 'package.json')
  if (!existsSync(description)) {
    throw new Error(
      `the software GPU needs the dev dependency @sparticuz/chromium, not found at ${DEPENDENCY}: run npm install`,
    )
  }
  const { version } = JSON.parse(readFileSync(description, 'utf8'))
  const folder = join(root, 'node_modules', '.cache', 'prefgrad', version, name)
  if (existsSync(folder)) return folder

  const own = `${folder}.${randomUUID()}`
  try {
    mkdirSync(own, { recursive: true })
    for (const archive of archives) {
      const packed = readFileSync(join(DEPENDENCY, 'bin', archive))
      const content = brotliDecompressSync(packed, { chunkSize: 1 << 22 })
      if (archive.endsWith('.tar.br')) {
        extract(content, own)
      } else {
        const program = join(own, archive.slice(0, -'.br'.length))
        writeFileSync(program, content)
        chmodSync(program, 0o755)
      }
    }
    for (const [file, text] of Object.entries(texts)) writeFileSync(join(own, file), text)
    renameSync(own, folder)
  } catch (error) {
    rmSync(own, { recursive: true, force: true })
    // Another process was first.
    if (!existsSync(folder)) throw error
  }
  return folder
}

const swiftshaderFolder = (): string => unpacked('swiftshader', ['swiftshader.tar.br'])

/** The loader takes the driver's path in this file as relative to the file, so it works wherever the folder is. */
const driverOf = (folder: string): string => join(folder, 'vk_swiftshader_icd.json')

// An older and a newer loader each read one of the two.
const driverVariables = (driver: string) => ({ VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver })

/**
 * The files, and the environment that gives a child process the software adapter:
 * `spawn(..., { env: { ...process.env, ...prepareSoftwareGpu() } })`.
 *
 * @throws Error as {@link unpacked} does.
 */
export const prepareSoftwareGpu = (): Record<string, string> => {
  const folder = swiftshaderFolder()
  const before = process.env.LD_LIBRARY_PATH
  return {
    ...driverVariables(driverOf(folder)),
    LD_LIBRARY_PATH: before === undefined || before === '' ? folder : `${folder}:${before}`,
  }
}

// RTLD_NODELETE of Linux, which node:os does not list.
const NEVER_UNLOAD = 0x1000

/**
 * Loads a library that is no addon. Node refuses it and closes it again, and with this flag closing leaves it where it
 * is: from then on `dlopen` of its bare name gives this one.
 */
const load = (library: string): void => {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | NEVER_UNLOAD)
  } catch (error) {
    if (!readFileSync('/proc/self/maps', 'utf8').includes(library)) throw error
  }
}

/**
 * Makes the software adapter the one that `webgpu` finds in this process, whoever imports it. Dawn opens
 * `libvulkan.so.1` by its bare name, and the search path of a running process can no longer be changed, so the library
 * is loaded ahead of Dawn by its path. To be called before the first `requestAdapter`, and in the main thread: the
 * `process.env` of a worker is a copy.
 *
 * @throws Error as {@link unpacked} does.
 */
export const useSoftwareGpu = (): void => {
  const folder = swiftshaderFolder()
  load(join(folder, 'libvulkan.so.1'))
  Object.assign(process.env, driverVariables(driverOf(folder)))
}

/**
 * SwiftShader takes about a millisecond to compile the zeroing of each element of workgroup memory; Dawn's own loop for
 * it costs nothing. Chromium takes the same words behind `--`.
 */
export const FAST_ZEROING = 'disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension'

// Never collected: a device whose GPU object is gone takes the process down with it.
const opened = new Map<string, Promise<GPU>>()

const openDriver = async (driver: string): Promise<GPU> => {
  useSoftwareGpu()
  Object.assign(process.env, driverVariables(driver))
  try {
    const { create } = await import('webgpu')
    const gpu = create([FAST_ZEROING])
    // Dawn asks for drivers when it is first asked for an adapter, and never again.
    const adapter = await gpu.requestAdapter()
    if (adapter === null) throw new Error(`Dawn takes no adapter from ${driver}`)
    return gpu
  } finally {
    Object.assign(process.env, driverVariables(driverOf(swiftshaderFolder())))
  }
}

let last: Promise<unknown> = Promise.resolve()

/** One driver at a time: which one is found is said by the environment. */
const openOnce = (driver: string): Promise<GPU> => {
  const before = opened.get(driver)
  if (before !== undefined) return before
  const gpu = last.then(() => openDriver(driver))
  opened.set(driver, gpu)
  last = gpu.catch(() => undefined)
  return gpu
}

/**
 * SwiftShader's GPU, one per process.
 *
 * @throws Error as {@link unpacked} does, and when Dawn finds no adapter.
 */
export const softwareGpu = async (): Promise<GPU> => openOnce(driverOf(swiftshaderFolder()))

/** Where Mesa's packages put the description of lavapipe. */
const lavapipeDrivers = (): string[] =>
  ['/usr/share', '/usr/local/share', '/etc']
    .map((folder) => join(folder, 'vulkan', 'icd.d'))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .filter((file) => /\/lvp_icd[^/]*\.json$/.test(file))

const opens = (driver: string): Promise<boolean> =>
  openOnce(driver).then(
    () => true,
    () => false,
  )

/**
 * Every software adapter of this machine: SwiftShader, and lavapipe where a Mesa is installed that Dawn takes (one older
 * than 25 lacks what Dawn requires). PREFGRAD_LAVAPIPE names lavapipe's json file elsewhere; that one has to work.
 */
export const softwareAdapters = async (): Promise<SoftwareAdapter[]> => {
  const adapters: SoftwareAdapter[] = [{ name: 'swiftshader', open: softwareGpu }]
  const named = process.env.PREFGRAD_LAVAPIPE
  for (const driver of named === undefined ? lavapipeDrivers() : [named]) {
    if (driver === named || (await opens(driver))) {
      return [...adapters, { name: 'lavapipe', open: () => openOnce(driver) }]
    }
  }
  return adapters
}
