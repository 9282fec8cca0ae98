/** Log-log charts as SVG files of their own, 700 pixels wide: two panels in a row. */
import { type Content, html, type Markup } from '../lib/train/markup.ts'

export interface LogSeries {
  name: string
  points: readonly (readonly [x: number, y: number])[]
  tone: number
  dashed?: boolean
}

export type Format = (value: number) => string

/** A panel; series whose points are not above 0 lose them: a logarithm has no place for them. */
export interface Panel {
  title: string
  xLabel: string
  formatX: Format
  formatY: Format
  series: readonly LogSeries[]
  /** Values that the x axis must reach. */
  includeX?: readonly number[]
  /** Shown where there is nothing to draw. */
  empty: string
}

const WIDTH = 700
const PANEL = { width: 350, height: 296 }
const PLOT = { left: 56, right: PANEL.width - 22, top: 68, bottom: PANEL.height - 40 }
/** Between title and plot, where no line can pass: two entries in a row. */
const LEGEND = { left: 12, top: 36, column: 160, row: 15 }
const TONES = ['#0072b2', '#c4540a', '#00805e', '#a8497f'] as const

const STYLE = `text{font:11px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#374151}
.title{font-size:13px;font-weight:600;fill:#111827}.grid{stroke:#e5e7eb}.axis{stroke:#9ca3af}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.dashed{stroke-width:1.2;stroke-dasharray:5 4}`

interface Axis {
  ticks: readonly number[]
  toPixel(value: number): number
}

/** Whole decades around the values; every second or third is labelled where there are many. */
export const logAxis = (values: readonly number[], start: number, end: number, mostTicks: number): Axis => {
  // A hair of rounding beside a power of ten is not another decade.
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9)
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9))
  const step = Math.ceil((high - low + 1) / mostTicks)
  const ticks = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => 10 ** (low + i * step))
  return { ticks, toPixel: (value) => start + ((Math.log10(value) - low) / (high - low)) * (end - start) }
}

const SI = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const
/** 30, 1 k, 3.2 M. */
export const formatCount: Format = (value) => {
  const [scale, letter] = SI.find(([unit]) => value >= unit) ?? [1, '']
  return `${Number((value / scale).toPrecision(3))}${letter === '' ? '' : ` ${letter}`}`
}
/** Of milliseconds: 250 ns, 1 µs, 3.2 ms, 10 s. */
export const formatTime: Format = (ms) => {
  const [scale, unit] = ms < 1e-3 ? [1e6, 'ns'] : ms < 1 ? [1e3, 'µs'] : ms < 1e3 ? [1, 'ms'] : [1e-3, 's']
  return `${Number((ms * scale).toPrecision(3))} ${unit}`
}
export const formatBytes: Format = (bytes) => (bytes < 1e3 ? `${bytes} B` : `${formatCount(bytes)}B`)

const round = (pixel: number): string => pixel.toFixed(1)

const line = (style: string, x1: number, y1: number, x2: number, y2: number): Markup =>
  html`<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`

const text = (x: number, y: number, content: string, anchor = 'start', style = 'tick'): Markup =>
  html`<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${content}</text>`

const stroke = (style: string, path: string, tone: number): Markup =>
  html`<path class="${style}" d="${path}" stroke="${TONES[tone % TONES.length]}"/>`

const drawSeries = ({ name, points, tone, dashed }: LogSeries, x: Axis, y: Axis, panel: Panel): Content => {
  const path = points.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${round(x.toPixel(px))} ${round(y.toPixel(py))}`)
  const dots = points.map(([px, py]) => {
    const tip = `${name}: ${panel.formatX(px)}, ${panel.formatY(py)}`
    const at = html`cx="${round(x.toPixel(px))}" cy="${round(y.toPixel(py))}"`
    return html`<circle ${at} r="2.6" fill="${TONES[tone % TONES.length]}"><title>${tip}</title></circle>`
  })
  return [stroke(dashed ? 'line dashed' : 'line', path.join(''), tone), !dashed && dots]
}

const drawLegend = (series: readonly LogSeries[]): Content =>
  series.map(({ name, tone, dashed }, i) => {
    const y = LEGEND.top + LEGEND.row * Math.floor(i / 2)
    const left = LEGEND.left + LEGEND.column * (i % 2)
    const path = `M${left} ${y - 4}H${left + 20}`
    return [stroke(dashed ? 'line dashed' : 'line', path, tone), text(left + 26, y, name)]
  })

const drawPanel = (panel: Panel): Content => {
  const series = panel.series
    .map((one) => ({ ...one, points: one.points.filter(([px, py]) => px > 0 && py > 0 && Number.isFinite(py)) }))
    .filter(({ points }) => points.length > 0)
  const all = series.flatMap(({ points }) => points)
  const title = text(LEGEND.left, 18, panel.title, 'start', 'title')
  if (all.length === 0) return [title, text(PANEL.width / 2, PANEL.height / 2, panel.empty, 'middle')]
  const { left, right, top, bottom } = PLOT
  const sizes = [...all.map(([px]) => px), ...(panel.includeX ?? [])]
  const x = logAxis(sizes, left, right, 8)
  const values = all.map(([, py]) => py)
  const y = logAxis(values, bottom, top, 9)
  return [
    title,
    y.ticks.map((tick) => [
      line('grid', left, y.toPixel(tick), right, y.toPixel(tick)),
      text(left - 6, y.toPixel(tick) + 4, panel.formatY(tick), 'end'),
    ]),
    x.ticks.map((tick) => [
      line('grid', x.toPixel(tick), top, x.toPixel(tick), bottom),
      text(x.toPixel(tick), bottom + 16, panel.formatX(tick), 'middle'),
    ]),
    line('axis', left, bottom, right, bottom),
    text((left + right) / 2, PANEL.height - 6, panel.xLabel, 'middle'),
    series.map((one) => drawSeries(one, x, y, panel)),
    drawLegend(series),
  ]
}

/** Panels in rows of two, on white, so that it reads on any page. */
export const chartSvg = (label: string, panels: readonly Panel[]): string => {
  const height = Math.ceil(panels.length / 2) * PANEL.height
  const size = html`viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`
  const body = panels.map((panel, i) => {
    const at = `translate(${(i % 2) * PANEL.width} ${Math.floor(i / 2) * PANEL.height})`
    return html`<g transform="${at}">${drawPanel(panel)}</g>
`
  })
  return html`<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${label}">
<style>${STYLE}</style>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${body}</svg>
`.source
}
