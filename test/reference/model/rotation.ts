/** Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34) in the halves layout: pairs (i, i + size / 2) of a head. */

/** One head turned by the angles `position * base^(-2 i / size)`; a negative position turns it back. */
export function rotate(head: ArrayLike<number>, position: number, base: number): Float64Array {
  const half = head.length / 2
  const turned = new Float64Array(head.length)
  for (let i = 0; i < half; i++) {
    const angle = position * base ** ((-2 * i) / head.length)
    turned[i] = head[i] * Math.cos(angle) - head[i + half] * Math.sin(angle)
    turned[i + half] = head[i] * Math.sin(angle) + head[i + half] * Math.cos(angle)
  }
  return turned
}

/** Per element the sum of the magnitudes of its pair: what the terms of a rotation are at most. */
export function pairSizes(head: ArrayLike<number>): Float64Array {
  const half = head.length / 2
  return Float64Array.from(head, (_, i) => Math.abs(head[i % half]) + Math.abs(head[(i % half) + half]))
}
