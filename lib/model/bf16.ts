/**
 * Rounds to bfloat16 (the upper half of a float32), to nearest with ties to even, as hardware does. Values beyond the
 * largest bf16 become infinite; a NaN stays a NaN of the same sign; subnormal numbers are kept.
 * @param values any shape, flat.
 * @returns the bf16 bit patterns, same length.
 */
export function toBf16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const rounded = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]
    const nan = (word & 0x7fffffff) > 0x7f800000
    // Rounding could carry a NaN into infinity, so a NaN is cut instead, with its quiet bit set to keep it a NaN.
    rounded[i] = nan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return rounded
}

/** Widens bfloat16 bit patterns to float32, exactly. */
export function fromBf16(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length)
  const words = new Uint32Array(values.buffer)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16
  return values
}
