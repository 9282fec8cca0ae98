/** The argument struct of a launch as the addon takes it: words, then pointers; workspace and fault are filled in natively. */
import type { Launch } from '../../backend.ts'
import type { CudaAddon } from './addon.ts'

const ELEMENTS = ['f32', 'bf16', 'f16']

export class Block {
  /** The op's place in the addon's list. */
  readonly ordinal: number
  readonly bytes: Uint8Array
  element = 0
  readonly #u32: Uint32Array

  constructor(addon: CudaAddon, op: string) {
    this.ordinal = addon.ops.findIndex((entry) => entry.op === op)
    const { words, pointers } = addon.ops[this.ordinal]
    this.#u32 = new Uint32Array(2 * (words + pointers))
    this.bytes = new Uint8Array(this.#u32.buffer)
  }

  fill(launch: Launch): this {
    this.setPointers(launch)
    this.setWords(launch)
    return this
  }

  setWords({ words }: Launch): void {
    this.#u32.set(words)
  }

  setPointers({ words, slots, dtype }: Launch): void {
    this.element = ELEMENTS.indexOf(dtype)
    let at = words.length
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]
      const pointer = slot === undefined ? 0 : slot.storage.pointer! + slot.byteOffset
      this.#u32[at++] = pointer >>> 0
      this.#u32[at++] = Math.floor(pointer / 2 ** 32)
    }
  }
}
