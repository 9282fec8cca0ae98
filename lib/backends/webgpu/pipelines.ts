/** Shader modules and pipelines, each made once for a device. */

import { plans } from '../../../kernels/plans.ts'
import { wgsl } from '../../../kernels/wgsl.ts'
import { PrefgradError } from '../../errors.ts'
import type { OpSpec } from '../../spec/schema.ts'
import type { ArgumentBlock } from './arguments.ts'
import {
  bindingsOf,
  declarations,
  FIRST_MEMORY,
  FIXED_BINDINGS,
  keyOf,
  type ModuleShape,
  windowNames,
} from './module.ts'

export interface Pipeline {
  /** Tells pipelines of a device apart. */
  id: number
  pipeline: GPUComputePipeline
  layout: GPUBindGroupLayout
  /** Bindings that it reaches. */
  bindings: readonly number[]
}

interface Module {
  text: string
  /** Made with the first pipeline. */
  module: GPUShaderModule | undefined
  names: readonly string[]
  shape: ModuleShape
  pipelines: Map<string, Pipeline>
}

const snake = (op: string): string => op.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** An op's own text: `rms_norm/rms_norm.wgsl`, and `rms_norm/rms_norm_backward.wgsl` for rmsNormBackward. */
export const textOf = (op: string): string | undefined => {
  const name = snake(op)
  return wgsl[`${name}/${name}.wgsl`] ?? wgsl[`${name.replace(/_backward$/, '')}/${name}.wgsl`]
}

export class Pipelines {
  readonly #device: GPUDevice
  readonly #modules = new Map<string, Module>()
  readonly #windowWords: number
  readonly #subgroups: boolean
  #nextId = 0

  constructor(device: GPUDevice, windowWords: number, subgroups: boolean) {
    this.#device = device
    this.#windowWords = windowWords
    this.#subgroups = subgroups
  }

  get(op: string, spec: OpSpec, block: ArgumentBlock, shape: ModuleShape, entry: string): Pipeline {
    const module = this.#module(op, spec, block, shape)
    let pipeline = module.pipelines.get(entry)
    if (pipeline === undefined) {
      pipeline = this.#make(op, module, entry)
      module.pipelines.set(entry, pipeline)
    }
    return pipeline
  }

  /** Bindings that an entry point reaches, without making its pipeline. */
  reached(op: string, spec: OpSpec, block: ArgumentBlock, shape: ModuleShape, entry: string): readonly number[] {
    return this.#reached(this.#module(op, spec, block, shape), entry)
  }

  #reached({ text, names }: Module, entry: string): readonly number[] {
    return bindingsOf(text, entry, names).map((name) => names.indexOf(name))
  }

  #module(op: string, spec: OpSpec, block: ArgumentBlock, shape: ModuleShape): Module {
    const key = `${op} ${keyOf(shape)}`
    let module = this.#modules.get(key)
    if (module === undefined) {
      const own = textOf(op)
      if (own === undefined) {
        throw new PrefgradError('ERR_NO_DEVICE', 'there is no WGSL kernel for this op.', {
          op,
          fix: 'Use the cpu device.',
        })
      }
      const text = [
        this.#subgroups ? 'enable subgroups;\n' : '',
        declarations(spec, block, shape, this.#windowWords),
        wgsl['common/common.wgsl'],
        wgsl[this.#subgroups ? 'common/reduce_subgroups.wgsl' : 'common/reduce.wgsl'],
        ...(plans[op]?.include ?? []).map((file) => wgsl[file]),
        own,
      ].join('')
      const names = [...FIXED_BINDINGS, ...windowNames(shape.memories)]
      module = {
        text,
        module: undefined,
        names,
        shape,
        pipelines: new Map(),
      }
      this.#modules.set(key, module)
    }
    return module
  }

  #make(op: string, own: Module, entry: string): Pipeline {
    const { shape, text } = own
    own.module ??= this.#device.createShaderModule({ code: text, label: op })
    const { module } = own
    const bindings = this.#reached(own, entry)
    const written = shape.memories.flatMap(({ windows, written: writes }) => Array<boolean>(windows).fill(writes))
    const layout = this.#device.createBindGroupLayout({
      label: `${op}.${entry}`,
      entries: bindings.map((binding) => ({
        binding,
        visibility: 0x4,
        buffer:
          binding === 0
            ? { type: 'uniform' as const, hasDynamicOffset: true }
            : { type: binding < FIRST_MEMORY || written[binding - FIRST_MEMORY] ? 'storage' : 'read-only-storage' },
      })),
    })
    const pipeline = this.#device.createComputePipeline({
      label: `${op}.${entry}`,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: entry },
    })
    return { id: this.#nextId++, pipeline, layout, bindings }
  }
}
