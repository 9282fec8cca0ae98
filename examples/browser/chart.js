/** A line chart in an <svg> of 480 x 220, drawn anew for each point: one series, labelled axes, the last value in words. */
const BOX = { left: 44, right: 60, top: 12, bottom: 26, width: 480, height: 220 }

const element = (name, attributes, text) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  if (text !== undefined) made.textContent = text
  return made
}

/** @param points [step, value] in rising order; @param range [low, high] of the values; @param format says a value */
export const draw = (svg, points, { range, steps, colour, format }) => {
  const { left, right, top, bottom, width, height } = BOX
  const x = (step) => left + (step / Math.max(1, steps)) * (width - left - right)
  const y = (value) => height - bottom - ((value - range[0]) / (range[1] - range[0])) * (height - top - bottom)
  const parts = []
  for (const share of [0, 0.5, 1]) {
    const value = range[0] + share * (range[1] - range[0])
    parts.push(
      element('line', { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: 'var(--line)' }),
      element('text', { x: left - 8, y: y(value) + 4, 'text-anchor': 'end' }, format(value)),
      element('text', { x: x(share * steps), y: height - 6, 'text-anchor': 'middle' }, Math.round(share * steps)),
    )
  }
  if (points.length > 0) {
    const path = points.map(([step, value], i) => `${i === 0 ? 'M' : 'L'}${x(step).toFixed(1)} ${y(value).toFixed(1)}`)
    const [step, value] = points.at(-1)
    parts.push(
      element('path', {
        d: path.join(''),
        fill: 'none',
        stroke: colour,
        'stroke-width': 2,
        'stroke-linejoin': 'round',
      }),
      element('circle', { cx: x(step), cy: y(value), r: 3.5, fill: colour }),
      element('text', { x: x(step) + 8, y: y(value) + 4, style: `fill:${colour};font-weight:600` }, format(value)),
    )
  }
  svg.replaceChildren(...parts)
}
