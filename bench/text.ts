/** How both benches, that of the CPU and WebGPU and that of CUDA, write figures, names and tables. */

/** Three digits: more would say more than a run knows. */
export const three = (n: number): string => (n === 0 ? '0' : Number(n.toPrecision(3)).toString())

export const threadsText = (threads: number): string => `${threads} thread${threads === 1 ? '' : 's'}`

/** As a part of a file's name. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')

/** How many times as long as prefgrad, marked where a run cannot tell the two apart. */
export const ratioText = ({ ratio, withinNoise }: { ratio?: number; withinNoise?: boolean }): string =>
  ratio === undefined ? '' : `${withinNoise ? '~' : ''}${ratio >= 100 ? ratio.toFixed(0) : ratio.toFixed(2)}x`

/** Columns padded to one width; the first is aligned left, the others right. */
export const aligned = (table: readonly string[][]): string[] => {
  const widths = table[0].map((_, c) => Math.max(...table.map((row) => row[c].length)))
  return table.map((row) =>
    row
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd(),
  )
}
