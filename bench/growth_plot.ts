/** The plots of an op: per size its time and its memory, and what a call costs beyond its kernels. */
import type { CeilingKind } from './ceilings.ts'
import { chartSvg, formatBytes, formatCount, formatTime, type LogSeries, type Panel } from './growth_chart.ts'
import { idealTime } from './growth_fit.ts'
import type { GrowthCurve } from './growth_types.ts'
import { threadsText } from './text.ts'

const CEILINGS: Readonly<Record<CeilingKind, string>> = {
  read: 'read',
  copy: 'copy',
  triad: 'triad',
  multiplyAdd: 'FMA',
}

const axis = ({ letter, fixed }: GrowthCurve): string => (fixed === '' ? letter : `${letter} (${fixed})`)

const timePanel = (curve: GrowthCurve): Panel => {
  const measured = curve.fits.map(
    ({ threads }, tone): LogSeries => ({
      name: threadsText(threads),
      tone,
      points: curve.points.flatMap(({ size, times }) =>
        times.filter((time) => time.threads === threads).map(({ median }) => [size, median] as const),
      ),
    }),
  )
  const ideal = curve.fits.flatMap(({ threads }, tone): LogSeries[] => {
    if (curve.ceiling === undefined) return []
    const points = curve.points.flatMap((point) => {
      const ms = idealTime(curve, point, threads)
      return ms === undefined ? [] : [[point.size, ms] as const]
    })
    return [{ name: `ideal (${CEILINGS[curve.ceiling.kind]}), ${threadsText(threads)}`, tone, dashed: true, points }]
  })
  return {
    title: `${curve.op}: time of a call`,
    xLabel: axis(curve),
    formatX: formatCount,
    formatY: formatTime,
    series: [...measured, ...ideal],
    empty: 'nothing was measured',
  }
}

const memoryPanel = (curve: GrowthCurve): Panel => ({
  title: `${curve.op}: peak memory`,
  xLabel: axis(curve),
  formatX: formatCount,
  formatY: formatBytes,
  series: [
    {
      name: 'peak of a fresh process',
      tone: 2,
      points: curve.points.flatMap(({ size, peakBytes }) =>
        peakBytes === undefined ? [] : [[size, peakBytes] as const],
      ),
    },
    {
      name: 'its tensors',
      tone: 2,
      dashed: true,
      points: curve.points.flatMap(({ size, tensorBytes }) =>
        tensorBytes === undefined ? [] : [[size, tensorBytes] as const],
      ),
    },
  ],
  includeX: curve.points.map(({ size }) => size),
  empty: 'not measured: Linux alone tells',
})

const overheadPanel = (curve: GrowthCurve): Panel => {
  const ways = [...new Set(curve.points.flatMap(({ overheads = [] }) => overheads.map(({ way }) => way)))]
  return {
    title: `${curve.op}: overhead per call`,
    xLabel: axis(curve),
    formatX: formatCount,
    formatY: formatTime,
    series: ways.map((way, tone) => ({
      name: way,
      tone,
      points: curve.points.flatMap(({ size, overheads = [] }) =>
        overheads.filter((one) => one.way === way).map(({ ms }) => [size, ms] as const),
      ),
    })),
    empty: 'not measured',
  }
}

/** One SVG of all curves of an op. */
export const growthSvg = (curves: readonly GrowthCurve[]): string => {
  const [{ op }] = curves
  const rows = curves.flatMap((curve) => [timePanel(curve), memoryPanel(curve)])
  const overheads = curves.filter(({ points }) => points.some((point) => point.overheads !== undefined))
  return chartSvg(`How the cost of ${op} grows`, [...rows, ...overheads.map(overheadPanel)])
}
