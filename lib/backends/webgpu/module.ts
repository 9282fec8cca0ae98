/**
 * The text of a shader module: the call's declarations, the shared text, the op's own. Kernels reach tensors only by name
 * (`in_logits(i)`, `set_loss(i, x)`), so that where a tensor lies, in what element type, and what shares its buffer are decided
 * here, once for all ops: a view of a slab, an output in the place of an input, a tensor over several bindings.
 */
import type { Dtype, OpSpec } from '../../spec/schema.ts'
import type { ArgumentBlock } from './arguments.ts'

/** One buffer of a call, as its kernels see it. */
export interface MemoryShape {
  /** Bindings that it takes: more than one when it is larger than a binding may be. */
  windows: number
  written: boolean
}

/** Where the call's tensors lie; undefined: not there. */
export interface TensorPlace {
  dtype: Dtype
  /** Ordinal of its buffer among those of the call. */
  memory: number
}

/** What two calls must have in common to share a module. */
export interface ModuleShape {
  tensors: readonly (TensorPlace | undefined)[]
  memories: readonly MemoryShape[]
  /** Bits of the outputs that are added to. */
  accumulate: number
}

/** Names of what is bound beside the call's memories, in binding order from 0. */
export const FIXED_BINDINGS = ['args', 'fault', 'scratch']

export const keyOf = ({ tensors, memories, accumulate }: ModuleShape): string => {
  const places = tensors.map((place) => (place === undefined ? '-' : `${place.dtype}.${place.memory}`)).join(',')
  return `${places};${memories.map(({ windows, written }) => `${windows}${written ? 'w' : 'r'}`).join(',')};${accumulate}`
}

const windowName = (memory: number, window: number): string => `memory_${memory}_${window}`

/** The names of a memory's bindings, which follow one another. */
export const windowNames = (memories: readonly MemoryShape[]): string[] =>
  memories.flatMap(({ windows }, m) => Array.from({ length: windows }, (_, w) => windowName(m, w)))

/** `load_m(word)` and `store_m(word, bits)` over all windows of a memory. */
const memoryText = ({ windows, written }: MemoryShape, m: number, binding: number, windowWords: number): string => {
  const lines: string[] = []
  const each = (body: (name: string, at: string) => string): string => {
    if (windows === 1) return `  ${body(windowName(m, 0), 'word')}\n`
    let text = ''
    for (let w = 0; w < windows; w++) {
      const last = w === windows - 1
      const inside = body(windowName(m, w), w === 0 ? 'word' : `word - ${w * windowWords}u`)
      text += last ? `  ${inside}\n` : `  if (word < ${(w + 1) * windowWords}u) {\n    ${inside}\n    return;\n  }\n`
    }
    return text
  }
  for (let w = 0; w < windows; w++) {
    const access = written ? 'read_write' : 'read'
    lines.push(`@group(0) @binding(${binding + w}) var<storage, ${access}> ${windowName(m, w)}: array<u32>;\n`)
  }
  const loads = each((name, at) => `return ${name}[${at}];`).replaceAll(/\n {4}return;/g, '')
  lines.push(`fn load_${m}(word: u32) -> u32 {\n${loads}}\n`)
  if (written) lines.push(`fn store_${m}(word: u32, bits: u32) {\n${each((name, at) => `${name}[${at}] = bits;`)}}\n`)
  return lines.join('')
}

const isHalf = (dtype: Dtype): boolean => dtype === 'bf16' || dtype === 'f16'

const readText = (name: string, { dtype, memory }: TensorPlace): string => {
  const at = `args.${name}_at + i`
  const type = dtype === 'i32' ? 'i32' : dtype === 'u8' ? 'u32' : 'f32'
  const body = {
    f32: `return bitcast<f32>(load_${memory}(${at}));`,
    i32: `return bitcast<i32>(load_${memory}(${at}));`,
    u8: `let at = ${at};\n  return (load_${memory}(at >> 2u) >> ((at & 3u) * 8u)) & 255u;`,
    bf16: `let at = ${at};\n  return bf16_to_f32((load_${memory}(at >> 1u) >> ((at & 1u) * 16u)) & 65535u);`,
    f16: `let at = ${at};\n  return f16_to_f32((load_${memory}(at >> 1u) >> ((at & 1u) * 16u)) & 65535u);`,
  }[dtype]
  return `fn ${name}(i: u32) -> ${type} {\n  ${body}\n}\n`
}

const TYPES: Readonly<Record<Dtype, string>> = { f32: 'f32', bf16: 'f32', f16: 'f32', i32: 'i32', u8: 'u32' }

/** Writing an output, or an input that the op updates. Words are shared by 16-bit elements, so that these are written whole. */
const writeText = (plain: string, name: string, { dtype, memory }: TensorPlace, adds: boolean): string => {
  if (!isHalf(dtype)) {
    const value = adds ? `${name}(i) + x` : 'x'
    return [
      `fn set_${plain}(i: u32, x: ${TYPES[dtype]}) {\n  store_${memory}(args.${name}_at + i, bitcast<u32>(${value}));\n}\n`,
      `const ${plain}_per_word = 1u;\n`,
      `fn first_of_word_${plain}(word: u32) -> i32 {\n  return i32(word);\n}\n`,
      `fn set_word_${plain}(word: u32, x: vec2<f32>, inside: vec2<bool>) {\n  if (inside.x) {\n    set_${plain}(word, ${TYPES[dtype]}(x.x));\n  }\n}\n`,
    ].join('')
  }
  const pack = `f32_to_${dtype}`
  const old = adds ? `vec2<f32>(${dtype}_to_f32(old & 65535u), ${dtype}_to_f32(old >> 16u)) + x` : 'x'
  return [
    `const ${plain}_per_word = 2u;\n`,
    `fn first_of_word_${plain}(word: u32) -> i32 {\n  return i32(word * 2u) - i32(args.${name}_at & 1u);\n}\n`,
    `fn set_word_${plain}(word: u32, x: vec2<f32>, inside: vec2<bool>) {\n`,
    `  let at = (args.${name}_at >> 1u) + word;\n  let old = load_${memory}(at);\n  let y = ${old};\n`,
    `  store_${memory}(at, select(old & 65535u, ${pack}(y.x), inside.x) | (select(old >> 16u, ${pack}(y.y), inside.y) << 16u));\n}\n`,
  ].join('')
}

/** What stands for a tensor that is not there: it reads as 0, and nothing is written. */
const absentText = (name: string, plain: string, dtype: Dtype, writes: boolean): string => {
  const type = TYPES[dtype]
  const read = `fn ${name}(i: u32) -> ${type} {\n  return ${type}(0);\n}\n`
  if (!writes) return read
  return [
    read,
    `fn set_${plain}(i: u32, x: ${type}) {\n}\n`,
    `const ${plain}_per_word = 1u;\n`,
    `fn first_of_word_${plain}(word: u32) -> i32 {\n  return i32(word);\n}\n`,
    `fn set_word_${plain}(word: u32, x: vec2<f32>, inside: vec2<bool>) {\n}\n`,
  ].join('')
}

const tensorsText = (spec: OpSpec, { tensors, accumulate }: ModuleShape): string => {
  const lines: string[] = []
  Object.entries(spec.inputs).forEach(([plain, { dtypes, updated, optional }], i) => {
    const place = tensors[i]
    const name = `in_${plain}`
    if (optional) lines.push(`fn has_${plain}() -> bool {\n  return ${place !== undefined};\n}\n`)
    if (place === undefined) lines.push(absentText(name, plain, dtypes?.[0] ?? 'f32', updated === true))
    else lines.push(readText(name, place), updated ? writeText(plain, name, place, false) : '')
  })
  const inputs = Object.keys(spec.inputs).length
  Object.entries(spec.outputs).forEach(([plain, { dtype, when }], o) => {
    const place = tensors[inputs + o]
    const name = `out_${plain}`
    if (when !== undefined) lines.push(`fn wants_${plain}() -> bool {\n  return ${place !== undefined};\n}\n`)
    const adds = Math.floor(accumulate / 2 ** o) % 2 === 1
    if (place === undefined) lines.push(absentText(name, plain, typeof dtype === 'string' ? dtype : 'f32', true))
    else lines.push(readText(name, place), writeText(plain, name, place, adds))
  })
  return lines.join('')
}

/** The first memory's first binding. */
export const FIRST_MEMORY = FIXED_BINDINGS.length

/** Everything of a call that stands before the shared text. */
export const declarations = (spec: OpSpec, block: ArgumentBlock, shape: ModuleShape, windowWords: number): string => {
  const lines = [
    block.wgsl,
    '@group(0) @binding(0) var<uniform> args: Arguments;\n',
    '@group(0) @binding(1) var<storage, read_write> fault: array<atomic<u32>>;\n',
    '@group(0) @binding(2) var<storage, read_write> scratch: array<u32>;\n',
    'fn work_u(i: u32) -> u32 {\n  return scratch[i];\n}\n',
    'fn set_work_u(i: u32, x: u32) {\n  scratch[i] = x;\n}\n',
    'fn work(i: u32) -> f32 {\n  return bitcast<f32>(scratch[i]);\n}\n',
    'fn set_work(i: u32, x: f32) {\n  scratch[i] = bitcast<u32>(x);\n}\n',
  ]
  let binding = FIRST_MEMORY
  shape.memories.forEach((memory, m) => {
    lines.push(memoryText(memory, m, binding, windowWords))
    binding += memory.windows
  })
  lines.push(tensorsText(spec, shape))
  return lines.join('')
}

/** Which of the names (of bindings) does an entry point reach, through every function that it calls? */
export const bindingsOf = (text: string, entry: string, names: readonly string[]): string[] => {
  const bare = text.replaceAll(/\/\/.*$/gm, '')
  const bodies = new Map<string, Set<string>>()
  for (const part of bare.split(/\bfn\s+/).slice(1)) {
    const name = /^\w+/.exec(part)![0]
    bodies.set(name, new Set(part.slice(name.length).match(/\b[A-Za-z_]\w*\b/g)))
  }
  const reached = new Set<string>([entry])
  const used = new Set<string>()
  for (const name of reached) {
    for (const word of bodies.get(name) ?? []) {
      if (bodies.has(word)) reached.add(word)
      else used.add(word)
    }
  }
  return names.filter((name) => used.has(name))
}
