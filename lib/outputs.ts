/** Where the outputs of a call go: memory that the caller gave, or one slab that is made for the call. */
import { meet, resolve } from './arguments.ts'
import type { Device } from './device.ts'
import { BYTES, product } from './dtype.ts'
import type { OptionValues } from './options.ts'
import { describe, refuse, unknownName } from './refuse.ts'
import type { Arguments, Row } from './row.ts'
import { checkShape } from './shape.ts'
import { Tensor } from './tensor.ts'

/** The shapes of a call's outputs, in row order; undefined: not wanted. */
export type Shapes = readonly (readonly number[] | undefined)[]

const SLAB_ALIGNMENT = 64
/**
 * A processor's first cache keeps what lies whole pages apart in the same few places, and large arrays begin at the same
 * byte of a page. Outputs of 2^k elements would do so too, and a loss that goes through nine arrays side by side would take
 * 1.7 times as long. So each large one begins elsewhere in its page.
 */
const PAGE = 4096
const LARGE = 4 * PAGE
const STAGGER = PAGE / 8

const sameShape = (a: readonly number[], b: readonly number[]): boolean => {
  if (a.length !== b.length) return false
  for (let d = 0; d < a.length; d++) if (a[d] !== b[d]) return false
  return true
}

/** The caller's memory for each output. A plain array takes the output's shape when it has as many elements. */
export const readPlaces = (
  row: Row,
  out: readonly unknown[],
  shapes: Shapes,
  values: OptionValues,
  args: Arguments,
): Arguments => {
  const { op } = row
  const places: Arguments = []
  for (let o = 0; o < shapes.length; o++) {
    const given = out[o]
    const shape = shapes[o]
    if (given === undefined) {
      places.push(undefined)
      continue
    }
    const arg = row.outputs[o].name
    if (shape === undefined) {
      const fix = `Give ${row.spec.outputs[arg].when}.`
      refuse('ERR_ARGUMENT', `out.${arg} was given, but nothing asks for ${arg}.`, { op, arg, fix })
    }
    const place = resolve(given, row.outputDtypes(o, values, args), true, op, `out.${arg}`)
    if (sameShape(place.shape, shape)) places.push(place)
    else if (ArrayBuffer.isView(given) && place.shape[0] === product(shape)) places.push({ ...place, shape })
    else {
      const says = `out.${arg} has shape [${place.shape}] and must have [${shape}].`
      refuse('ERR_SHAPE', says, { op, arg, value: place.shape })
    }
  }
  return places
}

/** The bits of the outputs that are added to. */
export const readAccumulate = (row: Row, given: unknown, places: Arguments): number => {
  if (given === undefined || given === false) return 0
  const { op, gradients } = row
  if (gradients.length === 0 || (given !== true && !Array.isArray(given))) {
    const what = gradients.length === 0 ? 'left out: this op has no gradients' : 'true or a list of gradient outputs'
    refuse('ERR_OPTION', `accumulate must be ${what}, and is ${describe(given)}.`, { op, arg: 'accumulate' })
  }
  const isGiven = (name: string) => places[row.outputOrdinal.get(name)!] !== undefined
  const names: readonly string[] = given === true ? gradients.filter(isGiven) : [...(given as string[])]
  if (names.length === 0) {
    const fix = `Give out: { ${gradients[0]} }.`
    refuse('ERR_ARGUMENT', 'accumulate has nothing to add to.', { op, arg: 'accumulate', fix })
  }
  let bits = 0
  for (const name of new Set(names)) {
    if (!gradients.includes(name)) unknownName(op, 'gradient output', String(name), gradients)
    if (!isGiven(name)) {
      const fix = `Give out: { ${name} }.`
      refuse('ERR_ARGUMENT', `accumulate names ${name}, which out does not give.`, { op, arg: name, fix })
    }
    bits += 2 ** row.outputOrdinal.get(name)!
  }
  return bits
}

/**
 * What is written may meet nothing else in memory, but for an output in the very place of an input that it may replace
 * (and not while it adds to what is there).
 */
export const checkAliases = (row: Row, args: Arguments, places: Arguments, accumulate: number): void => {
  const inputs = args.length
  for (let o = 0; o < places.length; o++) {
    const place = places[o]
    if (place === undefined) continue
    for (let i = 0; i < inputs; i++) {
      const meeting = meet(place, args[i])
      if (meeting === 'apart') continue
      const adds = Math.floor(accumulate / 2 ** o) % 2 === 1
      if (meeting !== 'same' || adds || !row.outputs[o].replaces.includes(i)) refuseAlias(row, inputs + o, i)
    }
    for (let p = 0; p < o; p++) if (meet(place, places[p]) !== 'apart') refuseAlias(row, inputs + o, inputs + p)
  }
  for (const u of row.updated) {
    const place = args[u]
    for (let i = 0; place !== undefined && i < inputs; i++) {
      if (i !== u && meet(place, args[i]) !== 'apart') refuseAlias(row, u, i)
    }
  }
}

const refuseAlias = (row: Row, slot: number, other: number): never =>
  refuse('ERR_ALIAS', `${row.nameOf(slot)} overlaps ${row.nameOf(other)} in memory.`, {
    op: row.op,
    arg: row.nameOf(slot),
    fix: 'Give it memory of its own.',
  })

/** The first byte from `bytes` on that lies `place` bytes (of at most a page) into its page. */
const nextInPage = (bytes: number, place: number): number => bytes + ((PAGE + place - (bytes % PAGE)) % PAGE)

/** Fills the places that the caller left open: views of one slab. */
export const makePlaces = (
  row: Row,
  places: Arguments,
  shapes: Shapes,
  device: Device,
  values: OptionValues,
  args: Arguments,
): void => {
  let bytes = 0
  let large = 0
  const offsets: number[] = []
  for (let o = 0; o < places.length; o++) {
    const shape = shapes[o]
    if (places[o] === undefined && shape !== undefined) {
      const [dtype] = row.outputDtypes(o, values, args)
      const length = checkShape(shape, row.outputs[o].name, row.op) * BYTES[dtype]
      if (length >= LARGE) bytes = nextInPage(bytes, ++large * STAGGER)
      offsets[o] = bytes
      bytes = Math.ceil((bytes + length) / SLAB_ALIGNMENT) * SLAB_ALIGNMENT
    }
  }
  let slab: Tensor['storage'] | undefined
  for (let o = 0; o < places.length; o++) {
    const shape = shapes[o]
    if (places[o] !== undefined || shape === undefined) continue
    slab ??= device.backend.alloc(bytes)
    const [dtype] = row.outputDtypes(o, values, args)
    places[o] = new Tensor(device, slab, dtype, shape, offsets[o], row.outputs[o].stats)
  }
}

/** The outputs by name, as tensors: made ones, the caller's own, and the caller's arrays wrapped. */
export const results = (row: Row, places: Arguments, device: Device): Record<string, Tensor> => {
  const outputs: Record<string, Tensor> = {}
  for (let o = 0; o < places.length; o++) {
    const place = places[o]
    if (place === undefined) continue
    const { name, stats } = row.outputs[o]
    if (place instanceof Tensor) {
      if (stats !== undefined) place.statistics = stats
      outputs[name] = place
    } else {
      outputs[name] = new Tensor(device, place.storage, place.dtype, place.shape, place.byteOffset, stats)
    }
  }
  return outputs
}

/** The outputs of a call that ran before, once more: another op may have used the tensors of statistics for its own. */
export const again = (row: Row, outputs: Record<string, Tensor>): Record<string, Tensor> => {
  for (const { name, stats } of row.outputs) {
    if (stats !== undefined && outputs[name] !== undefined) outputs[name].statistics = stats
  }
  return { ...outputs }
}
