/** The GPU object of Node: the optional package `webgpu` (Dawn). */
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { FindGpu } from './open.ts'

/** Dawn ends the process when this object is collected while a device lives. */
let gpu: GPU | undefined

/**
 * SwiftShader takes about a millisecond to compile the zeroing of each element of workgroup memory, some minutes in a training
 * run; Dawn's own loop for it costs nothing.
 */
const SOFTWARE_FLAGS = ['disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension']

/** Where Vulkan looks for drivers on Linux. */
const DRIVER_FOLDERS = ['/usr/share', '/usr/local/share', '/etc', join(homedir(), '.local/share')]

/** Without any driver Dawn finds nothing either, but writes to the terminal first. */
const hasVulkanDriver = (): boolean => {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES, VK_ADD_DRIVER_FILES, XDG_DATA_DIRS = '' } = process.env
  if ((VK_ICD_FILENAMES ?? VK_DRIVER_FILES ?? VK_ADD_DRIVER_FILES) !== undefined) return true
  return [...DRIVER_FOLDERS, ...XDG_DATA_DIRS.split(':').filter((folder) => folder !== '')].some((folder) => {
    const drivers = join(folder, 'vulkan/icd.d')
    return existsSync(drivers) && readdirSync(drivers).length > 0
  })
}

/** A `navigator.gpu` that somebody put there, or Dawn's. */
export const findNodeGpu: FindGpu = async () => {
  const own = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu
  if (own !== undefined) return { gpu: own }
  if (process.platform === 'linux' && !hasVulkanDriver()) {
    return { why: 'no Vulkan driver is installed', fix: "Install one for your GPU, or use openDevice('cpu')." }
  }
  try {
    const { create } = await import('webgpu')
    gpu ??= create(process.env.PREFGRAD_SOFTWARE_GPU === undefined ? [] : SOFTWARE_FLAGS)
    return { gpu }
  } catch (error) {
    const why = `the package webgpu could not be loaded (${(error as Error).message.split('\n')[0]})`
    return { why, fix: 'npm install webgpu' }
  }
}
