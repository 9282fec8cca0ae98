/** As in narrow_rows.wgsl: which rows share a workgroup, and how many. */
const MOST_ELEMENTS = 256
const ROWS = 8

export const isNarrow = (width: number): boolean => width <= MOST_ELEMENTS
export const narrowGroups = (rows: number): number => Math.ceil(rows / ROWS)
