import type { PackedSequences } from '../data/index.ts'
import type { Device } from '../device.ts'
import type { PolicyBatch } from '../model/policy.ts'
import type { Tensor } from '../tensor.ts'

/**
 * A packed batch cut down to the rows that predict a response token: logits are only made where a loss falls. The rows are
 * packed sequences themselves, with offsets of their own.
 */
export interface ResponseRows {
  batch: PolicyBatch
  /** Token that each row predicts, i32 [R]. */
  targets: Tensor<'i32'>
  /** i32 [B+1], sequences among the R rows. */
  offsets: Tensor<'i32'>
  /** `offsets` here. */
  starts: Int32Array
  /** R. */
  count: number
}

/** `on`: a device, or the scope that the tensors shall end with. */
export const responseRows = (on: Pick<Device, 'tensor'>, packed: PackedSequences): ResponseRows => {
  const { tokens, offsets, valid, targets, validCount } = packed
  const rows = new Int32Array(validCount)
  const rowTargets = new Int32Array(validCount)
  const rowOffsets = new Int32Array(offsets.length)
  let r = 0
  for (let b = 0; b + 1 < offsets.length; b++) {
    for (let i = offsets[b]; i < offsets[b + 1]; i++) {
      if (valid[i] === 0) continue
      rows[r] = i
      rowTargets[r++] = targets[i]
    }
    rowOffsets[b + 1] = r
  }
  return {
    batch: { ids: on.tensor(tokens), offsets: on.tensor(offsets), rows: on.tensor(rows) },
    targets: on.tensor(rowTargets),
    offsets: on.tensor(rowOffsets),
    starts: rowOffsets,
    count: validCount,
  }
}

/** Cuts a list into runs whose total size stays below `limit`, at least one item each. */
export const microBatches = <T>(items: readonly T[], sizeOf: (item: T) => number, limit: number): T[][] => {
  const out: T[][] = []
  let size = 0
  for (const item of items) {
    const mine = sizeOf(item)
    if (out.length === 0 || size + mine > limit) {
      out.push([])
      size = 0
    }
    out[out.length - 1].push(item)
    size += mine
  }
  return out
}
