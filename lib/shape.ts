/** Shapes that users give. */
import { product } from './dtype.ts'
import { describe, refuse } from './refuse.ts'

/** The number of elements of a shape: plain non-negative integers whose product can be addressed. */
export const checkShape = (shape: readonly number[], arg: string, op?: string): number => {
  if (!Array.isArray(shape)) {
    refuse('ERR_SHAPE', `${arg} has shape ${describe(shape)}, and a shape is an array of sizes.`, {
      op,
      arg,
      value: shape,
    })
  }
  for (let d = 0; d < shape.length; d++) {
    const size: unknown = shape[d]
    if (!Number.isSafeInteger(size) || (size as number) < 0) {
      refuse(
        'ERR_SHAPE',
        `${arg} has shape [${shape.map(describe).join(', ')}], and ${describe(size)} is not a size.`,
        {
          op,
          arg,
          value: size,
        },
      )
    }
  }
  const size = product(shape)
  if (!Number.isSafeInteger(size * 8)) {
    refuse('ERR_SIZE', `${arg} with shape [${shape}] has more elements than can be addressed.`, {
      op,
      arg,
      value: shape,
    })
  }
  return size
}

/** A shape that a user gave, checked, as a copy that cannot change any more. */
export const readShape = (shape: readonly number[], arg: string, op?: string): readonly number[] => {
  const copy = Array.isArray(shape) ? [...shape] : shape
  checkShape(copy, arg, op)
  return Object.freeze(copy)
}
