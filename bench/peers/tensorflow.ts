/** TensorFlow.js, the peer that runs wherever JavaScript does. It is no dependency: what is installed is used. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { packageRoot } from '../environment.ts'
import type { Peer } from '../types.ts'
import { childSession } from './session.ts'

interface Packages {
  tfjs: string
  /** Absent: only the backend in plain JavaScript is there. */
  wasm?: string
}

const resolveFrom = (folder: string, name: string): string | undefined => {
  try {
    return createRequire(join(folder, 'here.js')).resolve(name)
  } catch {
    return undefined
  }
}

/**
 * Both packages from one place, or they would not share their backends. Beside the bench, in its example, or where NODE_PATH
 * points.
 */
const locate = (): Packages | undefined => {
  const found = [packageRoot, join(packageRoot, 'examples/tfjs')].flatMap((folder): Packages[] => {
    const tfjs = resolveFrom(folder, '@tensorflow/tfjs')
    if (tfjs === undefined) return []
    const wasm = resolveFrom(folder, '@tensorflow/tfjs-backend-wasm')
    return [{ tfjs, ...(wasm === undefined ? {} : { wasm }) }]
  })
  return found.find(({ wasm }) => wasm !== undefined) ?? found[0]
}

export const tensorflow: Peer = {
  name: 'tensorflow',
  install: 'npm install --no-save @tensorflow/tfjs @tensorflow/tfjs-backend-wasm',
  ops: ['tokenLogprobs', 'ppoPolicyLoss', 'bradleyTerryLoss', 'dpoLoss', 'linear'],
  // Its wasm backend has no threads under Node.js.
  mostThreads: 1,
  missing: async () => (locate() === undefined ? "Cannot find module '@tensorflow/tfjs'" : undefined),
  open: async (setting) => {
    const { tfjs, wasm } = locate()!
    const environment = { TFJS: tfjs, ...(wasm === undefined ? {} : { TFJS_WASM: wasm }) }
    const session = await childSession(
      { peer: 'tensorflow', program: process.execPath, script: 'tensorflow_peer.js', environment },
      setting,
    )
    // It has no 16-bit floating point.
    return { ...session, load: async (work, shared) => (work.dtype === 'f32' ? session.load(work, shared) : []) }
  },
}
