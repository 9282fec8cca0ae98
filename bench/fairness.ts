/** When a comparison of whole models would say more about a peer's BLAS than about the peer. */
import { threadsText, three } from './text.ts'
import type { About } from './types.ts'

/**
 * Why a whole model is not compared with this peer; undefined: it may be. `peak` is the multiply-add ceiling with the same threads
 * and instruction set, in GFLOP/s; `atLeast` the share of it that the peer's matrix product must reach.
 */
export const refuseSlowGemm = (
  { gemm, threads, isa }: Pick<About, 'gemm' | 'threads' | 'isa'>,
  peak: number | undefined,
  atLeast: number,
): string | undefined => {
  if (gemm === undefined) return undefined
  if (peak === undefined) {
    return 'no ratio: its matrix product cannot be held against the multiply-add peak, which `npm run build` makes measurable'
  }
  if (gemm >= atLeast * peak) return undefined
  const where = `${threadsText(threads)}, ${isa}`
  return (
    `no ratio: its matrix product runs at ${three(gemm)} of ${three(peak)} GFLOP/s (${where}), below ${atLeast * 100} % of the ` +
    "peak: the machine is busy, or its BLAS is slow (Debian's PyTorch: apt-get install -y libopenblas0-pthread)"
  )
}
