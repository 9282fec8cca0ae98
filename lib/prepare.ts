/**
 * From a row of the op table and the user's arguments to a launch: names, element types, shapes, options, memory. Everything
 * that can be wrong with a call is found here, before anything is written.
 */
import type { Launch, Slot, Storage } from './backend.ts'
import { checkShape, type Device } from './device.ts'
import { BYTES, type Dtype, dtypeOf, holds, product, viewOf } from './dtype.ts'
import { PrefgradError } from './errors.ts'
import { OptionPacker, type OptionValues } from './options.ts'
import { describe, refuse, unknownName } from './refuse.ts'
import { ShapeBinder } from './shapes.ts'
import type { CallShape, InputSpec, OpSpec, OutputSpec } from './spec/schema.ts'
import { Tensor } from './tensor.ts'

/** An argument after its element type and place are known. */
export interface Argument {
  storage: Storage
  byteOffset: number
  byteLength: number
  shape: readonly number[]
  dtype: Dtype
  device: Device | undefined
}

interface Plan {
  device: Device
  launch: Launch
  call: CallShape
  outputs: Record<string, Tensor>
  /** For the message about a bad value. */
  arguments: readonly (Argument | undefined)[]
}

const SLAB_ALIGNMENT = 64

const narrowIds = (data: Uint32Array | BigInt64Array, op: string, arg: string): Int32Array => {
  const ids = new Int32Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const value = data[i]
    if (value < -2147483648 || value > 2147483647) {
      refuse('ERR_ID_RANGE', `${arg}[${i}] = ${value} does not fit an i32 id.`, { op, arg, index: i, value })
    }
    ids[i] = Number(value)
  }
  return ids
}

/** A detached buffer looks like an empty one, but nothing can be made of it. */
const isDetached = (buffer: ArrayBufferLike): boolean => {
  if (buffer.byteLength !== 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

const resolve = (value: unknown, allowed: readonly Dtype[], writes: boolean, op: string, arg: string): Argument => {
  if (value instanceof Tensor) {
    if (!allowed.includes(value.dtype)) {
      refuse('ERR_DTYPE', `${arg} holds ${value.dtype}, and must hold ${allowed.join(' or ')}.`, {
        op,
        arg,
        value: value.dtype,
      })
    }
    if (value.disposed)
      refuse('ERR_DISPOSED', `${arg} was disposed.`, { op, arg, fix: 'Keep a tensor until its last use.' })
    const { storage, byteOffset, byteLength, shape, dtype, device } = value
    return { storage, byteOffset, byteLength, shape, dtype, device }
  }
  let data = value as ArrayBufferView
  let shape: readonly number[] | undefined
  let dtype: Dtype | undefined
  if (!ArrayBuffer.isView(value)) {
    if (typeof value !== 'object' || value === null || !ArrayBuffer.isView((value as { data?: unknown }).data)) {
      refuse('ERR_DTYPE', `${arg} must be a tensor or a typed array, and is ${describe(value)}.`, {
        op,
        arg,
        value,
        fix: `Give ${allowed.map((d) => (d === 'f32' ? 'a Float32Array' : d === 'i32' ? 'an Int32Array' : d === 'u8' ? 'a Uint8Array' : `{ data: Uint16Array, shape, dtype: '${d}' }`)).join(' or ')}.`,
      })
    }
    const wrapped = value as { data: ArrayBufferView; shape: readonly number[]; dtype?: Dtype }
    data = wrapped.data
    shape = wrapped.shape
    dtype = wrapped.dtype
    if (!Array.isArray(shape))
      refuse('ERR_SHAPE', `${arg} has no shape.`, { op, arg, fix: 'Give { data, shape: [..] }.' })
  }
  if (isDetached(data.buffer)) {
    refuse('ERR_DETACHED', `the memory of ${arg} was detached.`, {
      op,
      arg,
      fix: 'Do not transfer a buffer that is still used.',
    })
  }
  if ((data instanceof BigInt64Array || data instanceof Uint32Array) && allowed.includes('i32') && !writes) {
    data = narrowIds(data, op, arg)
  }
  dtype ??= dtypeOf(data)
  if (dtype === undefined || !allowed.includes(dtype) || !holds(data, dtype)) {
    return refuse('ERR_DTYPE', `${arg} is a ${data.constructor.name}, and must hold ${allowed.join(' or ')}.`, {
      op,
      arg,
      value: data.constructor.name,
      fix: data instanceof Uint16Array ? "Say which: { data, shape, dtype: 'bf16' } or 'f16'." : undefined,
    })
  }
  const length = (data as unknown as { length: number }).length
  if (shape !== undefined && checkShape(shape, arg, op) !== length) {
    refuse('ERR_SHAPE', `${arg} has shape [${shape}] but ${length} elements.`, { op, arg, value: shape })
  }
  if (!(data.buffer instanceof ArrayBuffer)) {
    if (writes) {
      refuse('ERR_SHARED_BUFFER', `${arg} is written and lies in a SharedArrayBuffer.`, {
        op,
        arg,
        fix: 'Give memory that no other thread can change.',
      })
    }
    // Another thread could change ids after they were checked: work on a copy.
    data = (data as Float32Array).slice()
  }
  const buffer = data.buffer as ArrayBuffer
  return {
    storage: { bytes: buffer.byteLength, buffer },
    byteOffset: data.byteOffset,
    byteLength: data.byteLength,
    shape: shape ?? [length],
    dtype,
    device: undefined,
  }
}

const overlaps = (a: Argument, b: Argument): boolean =>
  (a.storage === b.storage || (a.storage.buffer !== undefined && a.storage.buffer === b.storage.buffer)) &&
  a.byteOffset < b.byteOffset + b.byteLength &&
  b.byteOffset < a.byteOffset + a.byteLength

const coincides = (a: Argument, b: Argument): boolean => a.byteOffset === b.byteOffset && a.byteLength === b.byteLength

/** Everything about one row that does not change between calls. */
export class Preparer {
  readonly op: string
  readonly spec: OpSpec
  readonly #inputs: [string, InputSpec][]
  readonly #outputs: [string, OutputSpec][]
  readonly #shapes: ShapeBinder
  readonly #options: OptionPacker
  /** The input whose element type picks the kernels. */
  readonly #typedInput: number
  readonly #defaultDevice: () => Device

  constructor(op: string, spec: OpSpec, defaultDevice: () => Device) {
    this.op = op
    this.spec = spec
    this.#inputs = Object.entries(spec.inputs)
    this.#outputs = Object.entries(spec.outputs)
    this.#shapes = new ShapeBinder(op, spec)
    this.#options = new OptionPacker(op, spec, this.#shapes.letters)
    this.#typedInput = this.#inputs.findIndex(([, input]) => (input.dtypes?.length ?? 1) > 1)
    this.#defaultDevice = defaultDevice
  }

  /** Words before the pointers, and pointers, of the row's argument struct (for the handshake). */
  get layout(): { words: number; pointers: number } {
    return { words: this.#options.wordCount, pointers: this.#inputs.length + this.#outputs.length + 2 }
  }

  plan(
    inputs: Record<string, unknown>,
    options: Record<string, unknown> = {},
    out: Record<string, unknown> = {},
  ): Plan {
    const { op, spec } = this
    this.#checkNames(inputs, spec.inputs, 'input')
    this.#checkNames(out, spec.outputs, 'output')

    const args: (Argument | undefined)[] = []
    let device: Device | undefined
    for (const [name, input] of this.#inputs) {
      const value = inputs[name]
      if (value === undefined || value === null) {
        if (input.optional !== true)
          refuse('ERR_ARGUMENT', `${name} is missing.`, { op, arg: name, fix: `${name}: ${input.doc}` })
        args.push(undefined)
        continue
      }
      const arg = resolve(value, input.dtypes ?? ['f32'], input.updated === true, op, name)
      device = this.#sameDevice(device, arg, name)
      args.push(arg)
    }
    const values = this.#options.read(options)
    const bound = this.#shapes.bind(args, values)
    const { flat } = bound
    const inputNames = spec.inputs
    const wanted = this.#outputs.map(
      ([, output]) => output.when === undefined || this.#isWanted(output.when, values, inputs),
    )
    const outputIndex = (name: string) => this.#outputs.findIndex(([n]) => n === name)
    const call: CallShape = {
      dims: bound.dims,
      options: values,
      has: (name) =>
        name in inputNames ? inputs[name] !== undefined && inputs[name] !== null : wanted[outputIndex(name)] === true,
      elementBytes: (name) => {
        const arg = args[this.#inputs.findIndex(([n]) => n === name)]
        return arg === undefined ? 0 : BYTES[arg.dtype]
      },
      flat,
      threads: 1,
    }
    const found = spec.check?.(call)
    if (found !== undefined) {
      const { code = 'ERR_OPTION', arg, says, fix } = found
      refuse(code, `${says}.`, { op, arg, value: values[arg], fix })
    }

    // Outputs: the caller's, else views of one slab.
    const places: (Argument | undefined)[] = []
    let slabBytes = 0
    let madeCount = 0
    for (let i = 0; i < this.#outputs.length; i++) {
      const [name, output] = this.#outputs[i]
      const given = out[name]
      if (!wanted[i]) {
        if (given !== undefined)
          refuse('ERR_ARGUMENT', `out.${name} was given, but nothing asks for ${name}.`, {
            op,
            arg: name,
            fix: `Give ${output.when}.`,
          })
        places.push(undefined)
        continue
      }
      const dtype = this.#outputDtype(output, args, values)
      const shape = this.#shapes.outputShape(output.shape, bound)
      if (given === undefined) {
        madeCount++
        const byteLength = product(shape) * BYTES[dtype]
        places.push({
          storage: undefined as unknown as Storage,
          byteOffset: slabBytes,
          byteLength,
          shape,
          dtype,
          device: undefined,
        })
        slabBytes = Math.ceil((slabBytes + byteLength) / SLAB_ALIGNMENT) * SLAB_ALIGNMENT
      } else {
        const place = resolve(given, [dtype], true, op, `out.${name}`)
        device = this.#sameDevice(device, place, `out.${name}`)
        if (place.shape.length !== shape.length || place.shape.some((n, d) => n !== shape[d])) {
          if (ArrayBuffer.isView(given) && place.byteLength === product(shape) * BYTES[dtype]) place.shape = shape
          else
            refuse('ERR_SHAPE', `out.${name} has shape [${place.shape}] and must have [${shape}].`, {
              op,
              arg: name,
              value: place.shape,
            })
        }
        places.push(place)
      }
    }
    const target = device ?? this.#defaultDevice()
    if (target.disposed)
      refuse('ERR_DISPOSED', `the device ${target.name} was disposed.`, {
        op,
        fix: 'Open a new one with openDevice().',
      })
    this.#checkAliases(args, places, out)
    const accumulate = this.#accumulateBits(options.accumulate, out)
    if (madeCount > 0) {
      const slab = target.backend.alloc(slabBytes)
      for (const place of places) if (place !== undefined && place.storage === undefined) place.storage = slab
    }

    ;(call as { threads: number }).threads = target.backend.threads
    const passes = []
    for (const pass of spec.passes) {
      if (pass.when === undefined || pass.when(call))
        passes.push({ pass, items: pass.grid(call), work: pass.work(call) })
    }
    const slots: (Slot | undefined)[] = [...args, ...places]
    const words = this.#options.pack(call, this.#presentBits(slots), accumulate)
    const launch: Launch = {
      op,
      spec,
      dtype: this.#typedInput < 0 ? 'f32' : (args[this.#typedInput]?.dtype ?? 'f32'),
      passes,
      slots,
      words,
      wordCount: this.#options.wordCount,
      workspaceBytes: spec.workspace?.(call) ?? 0,
    }
    const outputs: Record<string, Tensor> = {}
    for (let i = 0; i < places.length; i++) {
      const place = places[i]
      if (place === undefined) continue
      const [name, output] = this.#outputs[i]
      const given = out[name]
      outputs[name] =
        given instanceof Tensor && output.stats === undefined
          ? given
          : new Tensor(target, place.storage, place.dtype, place.shape, place.byteOffset, output.stats)
    }
    return { device: target, launch, call, outputs, arguments: args }
  }

  /** Changes dynamic options in the words of a prepared launch. */
  update(plan: Plan, values: Record<string, unknown>): void {
    const settings = this.#options.readDynamic(values, plan.call.options as OptionValues)
    Object.assign(plan.call.options, settings)
    this.#options.repack(plan.launch.words, plan.call)
  }

  /** The error for a prepared call that was disposed. */
  disposed(): PrefgradError {
    return new PrefgradError('ERR_DISPOSED', 'this prepared call was disposed.', {
      op: this.op,
      fix: 'Prepare it again.',
    })
  }

  /** The error for a value that only the kernel could see. */
  fault(plan: Plan, input: number, index: number): PrefgradError {
    const [name, spec] = this.#inputs[input] ?? ['?', undefined]
    const arg = plan.arguments[input]
    const fault = spec?.fault
    const value =
      arg?.storage.buffer === undefined
        ? undefined
        : viewOf(arg.dtype, arg.storage.buffer, arg.byteOffset, product(arg.shape))[index]
    return new PrefgradError(
      fault?.code ?? 'ERR_BAD_VALUE',
      `${name}[${index}]${value === undefined ? '' : ` = ${value}`} ${fault?.says ?? 'cannot be used'}.`,
      { op: this.op, arg: name, index, value, fix: fault?.fix },
    )
  }

  #checkNames(given: Record<string, unknown>, known: Readonly<Record<string, unknown>>, what: string): void {
    if (typeof given !== 'object' || given === null) {
      refuse('ERR_ARGUMENT', `${what}s must be an object of named tensors, not ${describe(given)}.`, { op: this.op })
    }
    for (const name in given) if (!Object.hasOwn(known, name)) unknownName(this.op, what, name, Object.keys(known))
  }

  #sameDevice(device: Device | undefined, arg: Argument, name: string): Device | undefined {
    // A plain typed array belongs to the shared default cpu device, wherever it stands among the arguments.
    const own = arg.device ?? this.#defaultDevice()
    if (device !== undefined && device !== own) {
      if (arg.device === undefined && device.kind === 'cpu') return device
      if (device === this.#defaultDevice() && own.kind === 'cpu') return own
      refuse('ERR_DEVICE_MISMATCH', `${name} is on ${own.name}, and an earlier argument is on ${device.name}.`, {
        op: this.op,
        arg: name,
        fix: 'Move all arguments to one device: device.tensor(array).',
      })
    }
    return own
  }

  #isWanted(when: string, values: OptionValues, inputs: Record<string, unknown>): boolean {
    if (when in this.spec.inputs) return inputs[when] !== undefined && inputs[when] !== null
    return values[when] !== undefined && values[when] !== false
  }

  #outputDtype(output: OutputSpec, args: readonly (Argument | undefined)[], values: OptionValues): Dtype {
    const { dtype = 'f32' } = output
    if (typeof dtype === 'string') return dtype
    if ('option' in dtype) return values[dtype.option] as Dtype
    return args[this.#inputs.findIndex(([n]) => n === dtype.as)]?.dtype ?? 'f32'
  }

  #presentBits(slots: readonly (Slot | undefined)[]): number {
    let bits = 0
    for (let i = 0; i < slots.length; i++) if (slots[i] !== undefined) bits += 2 ** i
    return bits
  }

  #accumulateBits(accumulate: unknown, out: Record<string, unknown>): number {
    if (accumulate === undefined || accumulate === false) return 0
    const gradients = this.#outputs.filter(([, output]) => output.gradient === true).map(([name]) => name)
    const names = accumulate === true ? gradients.filter((name) => out[name] !== undefined) : accumulate
    if (gradients.length === 0 || !Array.isArray(names)) {
      return refuse(
        'ERR_OPTION',
        `accumulate must be true or a list of gradient outputs, and is ${describe(accumulate)}.`,
        {
          op: this.op,
          arg: 'accumulate',
        },
      )
    }
    if (names.length === 0) {
      refuse('ERR_ARGUMENT', 'accumulate has nothing to add to.', {
        op: this.op,
        arg: 'accumulate',
        fix: `Give out: { ${gradients[0]} }.`,
      })
    }
    let bits = 0
    for (const name of names) {
      if (!gradients.includes(name)) unknownName(this.op, 'gradient output', name, gradients)
      if (out[name] === undefined) {
        refuse('ERR_ARGUMENT', `accumulate names ${name}, which out does not give.`, {
          op: this.op,
          arg: name,
          fix: `Give out: { ${name} }.`,
        })
      }
      bits += 2 ** this.#outputs.findIndex(([n]) => n === name)
    }
    return bits
  }

  #checkAliases(
    args: readonly (Argument | undefined)[],
    places: readonly (Argument | undefined)[],
    out: Record<string, unknown>,
  ): void {
    const written: [string, Argument, readonly string[]][] = []
    for (let i = 0; i < places.length; i++) {
      const [name, output] = this.#outputs[i]
      if (places[i] !== undefined && out[name] !== undefined)
        written.push([`out.${name}`, places[i]!, output.inPlaceOf ?? []])
    }
    for (let i = 0; i < args.length; i++) {
      if (args[i] !== undefined && this.#inputs[i][1].updated === true) written.push([this.#inputs[i][0], args[i]!, []])
    }
    if (written.length === 0) return
    for (let w = 0; w < written.length; w++) {
      const [name, place, inPlaceOf] = written[w]
      for (let i = 0; i < args.length; i++) {
        const other = args[i]
        if (other === undefined || other === place || !overlaps(place, other)) continue
        if (inPlaceOf.includes(this.#inputs[i][0]) && coincides(place, other)) continue
        this.#refuseAlias(name, this.#inputs[i][0])
      }
      for (let v = 0; v < w; v++) if (overlaps(place, written[v][1])) this.#refuseAlias(name, written[v][0])
    }
  }

  #refuseAlias(name: string, other: string): never {
    return refuse('ERR_ALIAS', `${name} overlaps ${other} in memory.`, {
      op: this.op,
      arg: name,
      fix: 'Give it memory of its own.',
    })
  }
}

export type { Plan }
