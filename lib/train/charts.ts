import { type Content, html, type Markup } from './markup.ts'
import type { Calibration, Estimate } from './statistics.ts'

/** A place in a chart: x and y in the data's own units. What is not finite is left out and breaks a line. */
export type Point = readonly [x: number, y: number]

export interface Series {
  readonly name: string
  readonly points: readonly Point[]
  /** Which of the page's colours, from 0; −1 is the neutral one. */
  readonly tone: number
  readonly dashed?: boolean
  /** Draws a dot at each point; a line alone otherwise. */
  readonly dots?: boolean
  /** Draws the points pale and their moving average in full, where there are enough of them. */
  readonly smooth?: boolean
  /** Index of a point to ring, and what to call it. */
  readonly chosen?: { readonly index: number; readonly label: string }
}

export interface Chart {
  readonly title: string
  /** What to see in it, one or two sentences. */
  readonly caption?: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
  /** Values that the axes must reach. */
  readonly include?: { readonly x?: readonly number[]; readonly y?: readonly number[] }
  readonly percent?: boolean
  readonly yReference?: { readonly at: number; readonly label: string }
  /** A vertical line; everything to its right is shaded. */
  readonly xMark?: { readonly at: number; readonly label: string }
}

const WIDTH = 460
const HEIGHT = 290
const PLOT = { left: 46, right: WIDTH - 14, top: 30, bottom: HEIGHT - 42 }
/** More points than pixels only make the file larger. */
const MOST_POINTS = 300

/** One figure: title, legend, and an inline SVG whose points say their values on hover. */
export function lineChart(chart: Chart): Markup {
  const series = chart.series.map((one) => ({ ...one, points: thinned(one.points), ring: ringOf(one) }))
  const finite = series.flatMap(({ points }) => points.filter(isFinitePoint))
  if (finite.length === 0) return figure(chart, html`<p class="empty">No steps were recorded.</p>`)
  const x = linearAxis([...finite.map(([x]) => x), ...(chart.include?.x ?? [])], PLOT.left, PLOT.right, 6)
  const y = linearAxis([...finite.map(([, y]) => y), ...(chart.include?.y ?? [])], PLOT.bottom, PLOT.top, 6, 0.05)
  const format = chart.percent ? (value: number) => `${formatNumber(100 * value)} %` : formatNumber
  return figure(
    chart,
    canvas(`${chart.title}: ${chart.yLabel} against ${chart.xLabel}`, [
      chart.xMark && shade(x, chart.xMark),
      axes(x, y, chart, format),
      chart.yReference && reference(y, chart.yReference),
      series.map((one) => drawSeries(one, x, y, chart, format)),
      chart.xMark && shadeLabel(x, chart.xMark),
    ]),
  )
}

/**
 * Reliability curve: what was observed against what was predicted. A dot's area is the bin's share of the pairs; on the
 * diagonal a probability means what it says.
 */
export function reliabilityChart(title: string, caption: string, { bins }: Calibration): Markup {
  const x = linearAxis([0, 1], PLOT.left, PLOT.right, 6)
  const y = linearAxis([0, 1], PLOT.bottom, PLOT.top, 6)
  const filled = bins.filter(({ count }) => count > 0)
  const most = Math.max(...bins.map(({ count }) => count), 1)
  const labels = { xLabel: 'predicted preference', yLabel: 'observed preference' }
  const dots = filled.map(({ predicted, observed, count }) => {
    const tip = `predicted ${formatNumber(predicted)}, observed ${formatNumber(observed)}, ${count} pairs`
    return circle('dot', x.toPixel(predicted), y.toPixel(observed), 3 + 7 * Math.sqrt(count / most), tip)
  })
  const curve = pathOf(
    filled.map(({ predicted, observed }) => [predicted, observed] as const),
    x,
    y,
  )
  return figure(
    { title, caption, series: [] },
    canvas(`${title}: observed against predicted preference`, [
      axes(x, y, labels, formatNumber),
      line('reference', x.toPixel(0), y.toPixel(0), x.toPixel(1), y.toPixel(1)),
      text('note', x.toPixel(0.8), y.toPixel(0.8) + 18, 'perfect'),
      html`<g class="tone0"><path class="line" d="${curve}"/>${dots}</g>`,
    ]),
  )
}

/** A share with its interval on a bar from 0 to 1, the line of chance at ½; nothing for what is not a number. */
export function intervalBar({ value, low, high }: Estimate, tone: number): Content {
  if (![value, low, high].every(Number.isFinite)) return undefined
  const place = (share: number) => 4 + 232 * Math.min(1, Math.max(0, share))
  const tip = `${formatPercent(value)}, 95 % interval ${formatPercent(low)} to ${formatPercent(high)}`
  const lines = [
    line('track', place(0), 11, place(1), 11),
    line('chance', place(0.5), 2, place(0.5), 20),
    line('span', place(low), 11, place(high), 11),
    line('value', place(value), 4, place(value), 18),
  ]
  return html`<svg class="interval tone${tone}" viewBox="0 0 240 22" role="img" aria-label="${tip}">
<title>${tip}</title>${lines}</svg>`
}

/** Up to four significant digits, without trailing zeros; "–" for what is not a number. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const magnitude = Math.abs(value)
  if (magnitude >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`
  if (magnitude >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`
  if (magnitude !== 0 && magnitude < 1e-3) return value.toExponential(1).replace('-', '−').replace('e', ' e')
  return String(Number(value.toPrecision(magnitude >= 1000 ? 4 : 3))).replace('-', '−')
}

export const formatPercent = (share: number) => (Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : '–')

/** The two ends of an interval of shares as percentages, such as "65.0–75.0". */
export const formatRange = ({ low, high }: Estimate) =>
  [low, high].map((end) => (Number.isFinite(end) ? (100 * end).toFixed(1) : '?')).join('–')

/**
 * Round numbers from at or below `low` to at or above `high`: multiples of 1, 2, 2.5 or 5 times a power of ten, about
 * `count` of them.
 */
export function niceTicks(low: number, high: number, count: number): number[] {
  const magnitude = Math.max(Math.abs(low), Math.abs(high))
  // A span that rounding alone could make is none, and steps of it would be lost beside the values.
  const span = high - low > 1e-9 * magnitude && high - low > 1e-200 ? high - low : magnitude > 1e-200 ? magnitude : 1
  const rough = span / Math.max(1, count - 1)
  const power = 10 ** Math.floor(Math.log10(rough))
  // 1e-9: a rough step that rounding put a hair above a nice one still takes it.
  const step = power * ([1, 2, 2.5, 5].find((nice) => nice * power >= rough * (1 - 1e-9)) ?? 10)
  const first = Math.floor(low / step + 1e-9)
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1)
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

interface Axis {
  readonly ticks: readonly number[]
  toPixel(value: number): number
}

/** From the least to the greatest value, `margin` of the span beyond at both ends, with the round numbers inside. */
function linearAxis(values: readonly number[], start: number, end: number, count: number, margin = 0): Axis {
  const [least, greatest] = [Math.min(...values), Math.max(...values)]
  const spare = greatest > least ? margin * (greatest - least) : Math.abs(greatest) / 10 || 1
  const [low, high] = [least - spare, greatest + spare]
  const ticks = niceTicks(low, high, count).filter((tick) => tick >= low && tick <= high)
  return { ticks, toPixel: (value) => start + ((value - low) / (high - low)) * (end - start) }
}

/** A tenth of a unit is finer than a screen shows. */
const round = (pixel: number) => pixel.toFixed(1)

function line(style: string, x1: number, y1: number, x2: number, y2: number): Markup {
  return html`<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function text(style: string, x: number, y: number, content: string, anchor = 'start'): Markup {
  return html`<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${content}</text>`
}

function circle(style: string, x: number, y: number, radius: number, tip?: string): Markup {
  const title = tip !== undefined && html`<title>${tip}</title>`
  return html`<circle class="${style}" cx="${round(x)}" cy="${round(y)}" r="${round(radius)}">${title}</circle>`
}

const isFinitePoint = ([x, y]: Point) => Number.isFinite(x) && Number.isFinite(y)

function figure(chart: Pick<Chart, 'title' | 'caption' | 'series'>, body: Markup): Markup {
  const entries = chart.series.map(({ name, tone, dashed }) => {
    const stroke = line(dashed ? 'line dashed' : 'line', 1, 4, 21, 4)
    const key = html`<svg class="key" viewBox="0 0 22 8" aria-hidden="true">${stroke}</svg>`
    return html`<li class="tone${toneName(tone)}">${key}${name}</li>`
  })
  const caption = chart.caption !== undefined && html`<p>${chart.caption}</p>`
  const legend = entries.length > 1 && html`<ul class="legend">${entries}</ul>`
  return html`<figure><figcaption><h3>${chart.title}</h3>${caption}</figcaption>${legend}${body}</figure>`
}

function canvas(label: string, content: readonly Content[]): Markup {
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${content}</svg>`
}

function axes(x: Axis, y: Axis, labels: Pick<Chart, 'xLabel' | 'yLabel'>, format: (value: number) => string): Content {
  const { left, right, bottom } = PLOT
  return [
    y.ticks.map((tick) => [
      line('grid', left, y.toPixel(tick), right, y.toPixel(tick)),
      text('tick', left - 7, y.toPixel(tick) + 4, format(tick), 'end'),
    ]),
    line('stroke', left, bottom, right, bottom),
    x.ticks.map((tick) => [
      line('stroke', x.toPixel(tick), bottom, x.toPixel(tick), bottom + 4),
      text('tick', x.toPixel(tick), bottom + 18, formatNumber(tick), 'middle'),
    ]),
    text('label', (left + right) / 2, HEIGHT - 5, labels.xLabel, 'middle'),
    text('label', 2, 12, labels.yLabel),
  ]
}

function reference(y: Axis, { at, label }: NonNullable<Chart['yReference']>): Content {
  return [
    line('reference', PLOT.left, y.toPixel(at), PLOT.right, y.toPixel(at)),
    text('note', PLOT.right - 2, y.toPixel(at) - 5, label, 'end'),
  ]
}

function shade(x: Axis, { at }: NonNullable<Chart['xMark']>): Content {
  const left = x.toPixel(at)
  const size = html`width="${round(PLOT.right - left)}" height="${PLOT.bottom - PLOT.top}"`
  return [
    html`<rect class="shade" x="${round(left)}" y="${PLOT.top}" ${size}/>`,
    line('mark', left, PLOT.top, left, PLOT.bottom),
  ]
}

function shadeLabel(x: Axis, { at, label }: NonNullable<Chart['xMark']>): Markup {
  const left = x.toPixel(at)
  const before = left > (PLOT.left + PLOT.right) / 2
  return text('alarm', left + (before ? -6 : 6), PLOT.bottom - 8, label, before ? 'end' : 'start')
}

function drawSeries(
  series: Series & { ring?: Point },
  x: Axis,
  y: Axis,
  labels: Chart,
  format: (value: number) => string,
): Markup {
  const { name, points, tone, dashed, dots, smooth, chosen, ring } = series
  const averaged = smooth === true && points.length >= 12
  const curve = pathOf(averaged ? movingAverage(points, Math.max(3, Math.round(points.length / 25))) : points, x, y)
  return html`<g class="tone${toneName(tone)}">${[
    averaged && html`<path class="line pale" d="${pathOf(points, x, y)}"/>`,
    html`<path class="line${dashed && ' dashed'}" d="${curve}"/>`,
    points.map((point) => {
      if (!isFinitePoint(point)) return undefined
      const tip = `${name}: ${labels.xLabel} ${formatNumber(point[0])}, ${labels.yLabel} ${format(point[1])}`
      // Without dots an invisible one carries the tooltip.
      return circle(dots ? 'dot' : 'tip', x.toPixel(point[0]), y.toPixel(point[1]), dots ? 3.5 : 6, tip)
    }),
    ring && circle('ring', x.toPixel(ring[0]), y.toPixel(ring[1]), 7),
    ring && chosen && text('note strong', x.toPixel(ring[0]), y.toPixel(ring[1]) - 12, chosen.label, 'middle'),
  ]}</g>`
}

function ringOf({ points, chosen }: Series): Point | undefined {
  const point = chosen && points[chosen.index]
  return point && isFinitePoint(point) ? point : undefined
}

function pathOf(points: readonly Point[], x: Axis, y: Axis): string {
  let path = ''
  let pen = 'M'
  for (const point of points) {
    if (isFinitePoint(point)) path += `${pen}${round(x.toPixel(point[0]))} ${round(y.toPixel(point[1]))}`
    pen = isFinitePoint(point) ? 'L' : 'M'
  }
  return path
}

/** Centred, over `width` points and fewer at the ends. */
function movingAverage(points: readonly Point[], width: number): Point[] {
  const half = Math.floor(width / 2)
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1).filter(isFinitePoint)
    return [x, near.reduce((sum, [, y]) => sum + y, 0) / near.length]
  })
}

/** Means of equal stretches when there are more points than a chart can show. */
function thinned(points: readonly Point[]): readonly Point[] {
  if (points.length <= MOST_POINTS) return points
  const width = points.length / MOST_POINTS
  return Array.from({ length: MOST_POINTS }, (_, i) => {
    const stretch = points.slice(Math.floor(i * width), Math.floor((i + 1) * width)).filter(isFinitePoint)
    const sum = stretch.reduce(([x, y], point) => [x + point[0], y + point[1]] as const, [0, 0] as Point)
    return [sum[0] / stretch.length, sum[1] / stretch.length]
  })
}

const toneName = (tone: number) => (tone < 0 ? 'Neutral' : tone % 4)
