/**
 * From a row of the op table and the user's arguments to a launch: names, element types, shapes, options, memory. Everything
 * that can be wrong with a call is found here, before anything is written.
 *
 * The user's objects are read first, each property once, because a getter may run anything, this op included. What follows
 * runs no code of the user's.
 */
import { type Argument, resolve } from './arguments.ts'
import type { FaultRecord, Launch } from './backend.ts'
import type { Device } from './device.ts'
import { product, viewOf } from './dtype.ts'
import { PrefgradError } from './errors.ts'
import { OptionPacker, Words } from './options.ts'
import { again, checkAliases, makePlaces, readAccumulate, readPlaces, results, type Shapes } from './outputs.ts'
import { describe, refuse, unknownName } from './refuse.ts'
import { type CallKey, Repeat } from './repeat.ts'
import { type Arguments, Call, Row } from './row.ts'
import { type Bound, ShapeBinder } from './shapes.ts'
import type { CallShape, OpSpec } from './spec/schema.ts'
import type { Tensor } from './tensor.ts'

/** A call that was checked: what to launch, and where its results will be. */
export interface Plan {
  device: Device
  launch: Launch
  call: Call
  words: Words
  outputs: Record<string, Tensor>
}

type Given = Readonly<Record<string, unknown>>

const NOTHING: Given = Object.freeze({})

/** Checks and plans the calls of one op. */
export class Preparer {
  readonly #row: Row
  readonly #shapes: ShapeBinder
  readonly #options: OptionPacker
  /** Argument words of calls that run at once, and so need none of their own. */
  readonly #words: Words
  readonly #defaultDevice: () => Device
  readonly #repeat = new Repeat()

  constructor(op: string, spec: OpSpec, defaultDevice: () => Device) {
    this.#row = new Row(op, spec)
    this.#shapes = new ShapeBinder(op, spec)
    this.#options = new OptionPacker(op, spec, this.#shapes.letters)
    this.#words = new Words(this.#options.wordCount)
    this.#defaultDevice = defaultDevice
  }

  /**
   * Checks a call and finds or makes its memory.
   *
   * @param kept the launch may run more than once, and so gets argument words of its own
   */
  plan(inputs: Given, options: Given | undefined, settings: Given | undefined, kept = false): Plan {
    return this.#plan(this.#read(inputs, options, settings), kept)
  }

  /** Runs a call once. */
  call(inputs: Given, options: Given | undefined, settings: Given | undefined): Record<string, Tensor> {
    const key = this.#read(inputs, options, settings)
    const repeat = this.#repeat
    if (!repeat.matches(key)) {
      const plan = this.#plan(key, false)
      this.#raise(plan, plan.device.backend.run(plan.launch))
      repeat.remember(key, plan)
      return plan.outputs
    }
    if (repeat.bound === undefined) repeat.keep(this.#plan(key, true))
    this.#raise(repeat.plan, repeat.bound!.run())
    return again(this.#row, repeat.plan.outputs)
  }

  #raise(plan: Plan, fault: FaultRecord | undefined): void {
    if (fault !== undefined) throw this.fault(plan, fault.input, fault.index)
  }

  /** What the user's objects say, each property read once. */
  #read(inputs: Given, options: Given | undefined, settings: Given | undefined): CallKey {
    return {
      inputs: this.#readInputs(inputs),
      options: this.#options.read(options),
      accumulate: options?.accumulate,
      out: this.#readOut(settings),
    }
  }

  #plan({ inputs, options: values, accumulate: adds, out }: CallKey, kept: boolean): Plan {
    const row = this.#row
    const args = this.#resolve(inputs)
    const bound = this.#shapes.bind(args, values)
    const wanted = row.wanted(values, args)
    const call = new Call(row, bound, values, args, wanted)
    this.#check(call)
    const shapes = this.#outputShapes(wanted, bound)
    const places = readPlaces(row, out, shapes, values, args)
    const accumulate = readAccumulate(row, adds, places)
    const device = this.#deviceOf(args, places)
    checkAliases(row, args, places, accumulate)

    call.threads = device.backend.threads
    makePlaces(row, places, shapes, device, values, args)
    const slots: Arguments = []
    for (let i = 0; i < args.length; i++) slots.push(args[i])
    for (let o = 0; o < places.length; o++) slots.push(places[o])
    const words = kept ? new Words(this.#options.wordCount) : this.#words
    this.#options.pack(words, call, presentBits(slots), accumulate)
    const launch: Launch = {
      op: row.op,
      spec: row.spec,
      call,
      accumulate,
      dtype: row.kernelDtype(args),
      passes: this.#passes(call),
      slots,
      words: words.u32,
      workspaceBytes: row.workspace?.(call) ?? 0,
    }
    return { device, launch, call, words, outputs: results(row, places, device) }
  }

  /** Changes dynamic options of a kept plan; nothing changes when one of them is refused. */
  update(plan: Plan, given: Given): void {
    plan.call.options = this.#options.change(plan.call.options, given)
    this.#options.repack(plan.words, plan.call)
  }

  /** The error for a prepared call that was disposed, or one of whose tensors was. */
  disposed(what = 'this prepared call'): PrefgradError {
    const fix = 'Prepare the call again.'
    return new PrefgradError('ERR_DISPOSED', `${what} was disposed.`, { op: this.#row.op, fix })
  }

  /** The name of an argument of a launch. */
  nameOf(slot: number): string {
    return this.#row.nameOf(slot)
  }

  /** The error for a value that only the kernel could see. */
  fault({ launch }: Plan, input: number, index: number): PrefgradError {
    const name = this.nameOf(input)
    const fault = this.#row.spec.inputs[name]?.fault
    const arg = launch.slots[input] as Argument | undefined
    const buffer = arg?.storage.buffer
    const value =
      buffer === undefined ? undefined : viewOf(arg!.dtype, buffer, arg!.byteOffset, product(arg!.shape))[index]
    return new PrefgradError(
      fault?.code ?? 'ERR_BAD_VALUE',
      `${name}[${index}]${value === undefined ? '' : ` = ${value}`} ${fault?.says ?? 'cannot be used'}.`,
      { op: this.#row.op, arg: name, index, value, fix: fault?.fix },
    )
  }

  /** What is given for each input, in row order. */
  #readInputs(given: Given): readonly unknown[] {
    const { inputs, inputOrdinal } = this.#row
    this.#checkNames(given, inputOrdinal, 'input')
    const values: unknown[] = []
    for (let i = 0; i < inputs.length; i++) values.push(given[inputs[i].name] ?? undefined)
    return values
  }

  #resolve(given: readonly unknown[]): Arguments {
    const { op, inputs } = this.#row
    const args: Arguments = []
    for (let i = 0; i < inputs.length; i++) {
      const { name, dtypes, optional, updated, doc } = inputs[i]
      const value = given[i]
      if (value !== undefined) {
        args.push(resolve(value, dtypes, updated, op, name))
      } else {
        if (!optional) refuse('ERR_ARGUMENT', `${name} is missing.`, { op, arg: name, fix: `${name}: ${doc}` })
        args.push(undefined)
      }
    }
    return args
  }

  /** What `out` gives, in row order. */
  #readOut(settings: Given | undefined): readonly unknown[] {
    if (settings === undefined) return []
    const { op, outputs, outputOrdinal } = this.#row
    if (typeof settings !== 'object' || settings === null) {
      refuse('ERR_ARGUMENT', `the third argument must be { out }, and is ${describe(settings)}.`, { op })
    }
    for (const name in settings) if (name !== 'out') unknownName(op, 'setting', name, ['out'])
    const { out = NOTHING } = settings as { out?: Given }
    this.#checkNames(out, outputOrdinal, 'output')
    const given = []
    for (let o = 0; o < outputs.length; o++) given.push(out[outputs[o].name] ?? undefined)
    return given
  }

  #checkNames(given: Given, known: ReadonlyMap<string, number>, what: string): void {
    const { op } = this.#row
    if (typeof given !== 'object' || given === null) {
      refuse('ERR_ARGUMENT', `${what}s must be an object of named tensors, not ${describe(given)}.`, { op })
    }
    for (const name in given) if (!known.has(name)) unknownName(op, what, name, [...known.keys()])
  }

  #check(call: CallShape): void {
    const { op, check } = this.#row
    const found = check?.(call)
    if (found === undefined) return
    const { code = 'ERR_OPTION', arg, says, fix } = found
    refuse(code, `${says}.`, { op, arg, value: call.options[arg], fix })
  }

  #outputShapes(wanted: readonly boolean[], bound: Bound): Shapes {
    const shapes = []
    for (let o = 0; o < wanted.length; o++) shapes.push(wanted[o] ? this.#shapes.outputShape(o, bound) : undefined)
    return shapes
  }

  /** The one device of all tensors; plain arrays go where the tensors are, on cpu, or to the shared default device. */
  #deviceOf(args: Arguments, places: Arguments): Device {
    let device: Device | undefined
    let plain = -1
    for (let i = 0; i < args.length + places.length; i++) {
      const arg = i < args.length ? args[i] : places[i - args.length]
      if (arg === undefined) continue
      if (arg.device === undefined) plain = i
      else if (device === undefined) device = arg.device
      else if (device !== arg.device) this.#refuseDevice(i, arg.device.name, device.name)
    }
    if (plain >= 0 && device !== undefined && device.kind !== 'cpu') {
      this.#refuseDevice(plain, 'the cpu (a typed array)', device.name)
    }
    const found = device ?? this.#defaultDevice()
    if (found.disposed) {
      const fix = 'Open a new one with openDevice().'
      refuse('ERR_DISPOSED', `the device ${found.name} was disposed.`, { op: this.#row.op, fix })
    }
    return found
  }

  #refuseDevice(slot: number, mine: string, other: string): never {
    const arg = this.nameOf(slot)
    return refuse('ERR_DEVICE_MISMATCH', `${arg} is on ${mine}, and another argument is on ${other}.`, {
      op: this.#row.op,
      arg,
      fix: 'Move all arguments to one device: device.tensor(array).',
    })
  }

  #passes(call: CallShape): Launch['passes'] {
    const { passes } = this.#row
    const chosen = []
    for (let i = 0; i < passes.length; i++) {
      const { ordinal, when, grid, work } = passes[i]
      if (when === undefined || when(call)) chosen.push({ ordinal, items: grid(call), work: work(call) })
    }
    return chosen
  }
}

const presentBits = (slots: Arguments): number => {
  let bits = 0
  let bit = 1
  for (let i = 0; i < slots.length; i++) {
    if (slots[i] !== undefined) bits += bit
    bit *= 2
  }
  return bits
}
