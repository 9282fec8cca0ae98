/** Writing part of a word: WebGPU copies whole words only, and the other bytes may belong to a neighbour. */

const TEXT = `
struct Patch { word: u32, mask: u32, bits: u32 }
@group(0) @binding(0) var<uniform> patch_of: Patch;
@group(0) @binding(1) var<storage, read_write> memory: array<u32>;
@compute @workgroup_size(1)
fn write() {
  memory[patch_of.word] = (memory[patch_of.word] & ~patch_of.mask) | patch_of.bits;
}
`

/** Bindings begin at multiples of this. */
const WINDOW = 256

export class Patcher {
  readonly #device: GPUDevice
  #pipeline: GPUComputePipeline | undefined

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** Writes `bytes` (at most up to the end of the word that `at` lies in); in order with what was submitted before. */
  write(buffer: GPUBuffer, at: number, bytes: Uint8Array): void {
    this.#pipeline ??= this.#device.createComputePipeline({
      layout: 'auto',
      compute: { module: this.#device.createShaderModule({ code: TEXT }), entryPoint: 'write' },
    })
    let [mask, bits] = [0, 0]
    bytes.forEach((byte, i) => {
      const shift = 8 * ((at % 4) + i)
      mask |= 255 << shift
      bits |= byte << shift
    })
    // Only the surroundings are bound: the whole may be larger than a binding can be.
    const offset = at - (at % WINDOW)
    const size = Math.min(WINDOW, buffer.size - offset)
    const uniform = this.#device.createBuffer({ size: 16, usage: 0x40 | 0x08 })
    this.#device.queue.writeBuffer(uniform, 0, Uint32Array.of(Math.floor((at - offset) / 4), mask, bits, 0))
    const encoder = this.#device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(this.#pipeline)
    const entries = [
      { binding: 0, resource: { buffer: uniform } },
      { binding: 1, resource: { buffer, offset, size } },
    ]
    pass.setBindGroup(0, this.#device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries }))
    pass.dispatchWorkgroups(1)
    pass.end()
    this.#device.queue.submit([encoder.finish()])
    uniform.destroy()
  }
}
