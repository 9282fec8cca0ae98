import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatNumber, intervalBar, lineChart, niceTicks } from '../lib/train/charts.ts'
import { escapeText, html } from '../lib/train/markup.ts'
import { partingStep, renderReport } from '../lib/train/report.ts'
import type { ReportData } from '../lib/train/report_data.ts'
import { sampleReport } from './report_sample.ts'

const VOID = new Set(['meta', 'br', 'img', 'link', 'hr', 'input'])

/** Throws unless every element is closed in order, every attribute quoted, and every `&` part of an entity. */
function requireWellFormed(page: string): Map<string, number> {
  const counts = new Map<string, number>()
  const open: string[] = []
  const body = page.replace(/^<!doctype html>/, '').replace(/<style>[^<]*<\/style>/, '<style></style>')
  const tag = /<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?: [a-zA-Z][a-zA-Z0-9:-]*="[^"<>]*")*)(\/?)>/y
  let position = 0
  while (position < body.length) {
    if (body[position] !== '<') {
      const end = body.indexOf('<', position)
      const text = body.slice(position, end < 0 ? undefined : end)
      assert.doesNotMatch(text, />|&(?!(?:amp|lt|gt|quot|#39);)/, text.slice(0, 200))
      position += text.length
      continue
    }
    tag.lastIndex = position
    const match = tag.exec(body)
    assert.ok(match, `malformed: ${body.slice(position, position + 120)}`)
    const [all, closing, name, , selfClosing] = match
    if (closing) assert.equal(open.pop(), name, body.slice(Math.max(0, position - 120), position + 20))
    else {
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (!selfClosing && !VOID.has(name)) open.push(name)
    }
    position += all.length
  }
  assert.deepEqual(open, [])
  return counts
}

describe('report', () => {
  const page = renderReport(sampleReport())

  test('a full report is well-formed and has every section, chart and row', () => {
    const counts = requireWellFormed(page)
    assert.equal(counts.get('h2'), 5)
    assert.equal(counts.get('figure'), 4 + 4) // reward-KL, two of proxy against gold, calibration; four losses
    assert.equal(counts.get('tr'), 2 + 2 + 6) // two header rows, two slices, six policies
    assert.equal(counts.get('article'), 2)
    assert.ok(page.length < 300_000, `${page.length} characters`)
  })

  test('nothing is loaded from anywhere: no address, no script, no import', () => {
    assert.doesNotMatch(page, /https?:|\/\/[a-z]|url\(|@import|<script|<link|<img|<iframe| (?:src|href|on[a-z]+)="/i)
    assert.match(page, /default-src 'none'/)
  })

  test('text of prompts, samples and cards is shown, not interpreted', () => {
    assert.ok(page.includes('&lt;script&gt;alert(&quot;prompt&quot;)&lt;/script&gt; &amp; so on'))
    assert.ok(page.includes('&lt;/blockquote&gt;&lt;img src=x onerror=alert(1)&gt; \ufffd'))
    assert.ok(page.includes('&lt;b&gt;no bold&lt;/b&gt;'))
    assert.ok(page.includes('&lt;/pre&gt;&lt;script&gt;'))
  })

  test('rated words are marked with their rating, others are not', () => {
    assert.ok(page.includes('<mark class="unpleasant" title="−2.9">war</mark>'))
    assert.ok(page.includes('<mark title="+3.2">freedom</mark>'))
    assert.ok(!page.includes('>America</mark>'))
    const inherited = renderReport({
      title: 't',
      samples: [{ prompt: 'p', continuations: [{ policy: 'PPO', text: 'constructor toString' }] }],
      wordRatings: { hope: 1.9 },
    })
    assert.ok(inherited.includes('constructor toString'))
  })

  test('the target is said to be met only when the lower end of the interval is above it', () => {
    const withTarget = (target: number) =>
      renderReport({ title: 't', policies: [{ ...sampleReport().policies![0], target }] })
    assert.match(withTarget(0.6), /class="verdict met">✓\sLower end of the interval 71\.7 %/)
    assert.match(withTarget(0.72), /class="verdict missed">✗/)
  })

  test('any subset of the parts gives a well-formed page', () => {
    const full = sampleReport()
    const keys = Object.keys(full).filter((key) => key !== 'title') as (keyof ReportData)[]
    fc.assert(
      fc.property(fc.subarray(keys), (kept) => {
        requireWellFormed(
          renderReport({ title: full.title, ...Object.fromEntries(kept.map((key) => [key, full[key]])) }),
        )
      }),
      { numRuns: 30 },
    )
  })

  test('measures that a run lacks are dashes, and what is not a number never reaches the page', () => {
    const nothing = { value: Number.NaN, low: Number.NaN, high: Number.NaN }
    const rate = { tiesHalf: nothing, withoutTies: nothing, tieShare: Number.NaN, pairs: 0, prompts: 0 }
    const bare = renderReport({
      title: 't',
      policies: [
        { name: 'PPO', proxy: rate, checkpoints: [{ step: 0, kl: Number.NaN, reward: Number.NaN, proxy: 0.5 }] },
      ],
      losses: [{ title: 'l', yLabel: 'loss', series: [{ name: 'a', points: [[1, Number.POSITIVE_INFINITY]] }] }],
      evaluation: [{ policy: 'PPO', slice: 's', proxy: rate, kl: Number.NaN }],
      rewardModel: {
        calibration: {
          expectedError: 0,
          bins: [{ low: 0, high: 1, count: 0, predicted: Number.NaN, observed: Number.NaN }],
        },
      },
    })
    requireWellFormed(bare)
    assert.doesNotMatch(bare, /NaN|Infinity|undefined/)
    assert.match(bare, /No steps were recorded/)
  })
})

describe('where proxy and gold part', () => {
  const checkpoints = (gold: number[], proxy: number[]) =>
    gold.map((value, i) => ({ step: 10 * i, kl: i, gold: value, proxy: proxy[i] }))
  const rising = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92]

  test('is the peak of gold when gold then falls and proxy goes on', () => {
    // Means of three: .525 .55 .6 .6333 .6 .5333 .50: the peak is the fourth, at step 30.
    assert.equal(partingStep(checkpoints([0.5, 0.55, 0.6, 0.65, 0.65, 0.5, 0.45], rising)), 30)
  })

  test('is nowhere when both rise, when both fall, or when there is too little to see', () => {
    assert.equal(partingStep(checkpoints([0.5, 0.52, 0.55, 0.58, 0.6, 0.61, 0.62], rising)), undefined)
    assert.equal(
      partingStep(checkpoints([0.5, 0.55, 0.6, 0.65, 0.6, 0.5, 0.45], [0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.5])),
      undefined,
    )
    assert.equal(partingStep(checkpoints([0.7, 0.5, 0.4], [0.5, 0.6, 0.7])), undefined)
  })

  test('is not seen in noise: a fall of less than two points does not count', () => {
    assert.equal(partingStep(checkpoints([0.5, 0.51, 0.505, 0.5, 0.501, 0.499, 0.5], rising)), undefined)
  })
})

describe('charts', () => {
  test('ticks are round, and reach around the values', () => {
    assert.deepEqual(niceTicks(0, 1, 6), [0, 0.2, 0.4, 0.6, 0.8, 1])
    assert.deepEqual(niceTicks(-0.013, 0.047, 4), [-0.02, 0, 0.02, 0.04, 0.06])
    assert.deepEqual(niceTicks(3, 3, 5), [3, 4])
  })

  test('ticks hold any range, in order and not too many', () => {
    const finite = fc.double({ min: -1e12, max: 1e12, noNaN: true })
    fc.assert(
      fc.property(finite, finite, fc.integer({ min: 2, max: 9 }), (a, b, count) => {
        const [low, high] = a < b ? [a, b] : [b, a]
        const ticks = niceTicks(low, high, count)
        const spare = 1e-8 * Math.max(Math.abs(low), Math.abs(high)) + 1e-200
        assert.ok(ticks[0] <= low + spare && ticks.at(-1)! >= high - spare, `${low} ${high}: ${ticks}`)
        assert.ok(ticks.length <= 2 * count + 2, `${ticks.length}`)
        assert.ok(ticks.every((tick, i) => i === 0 || tick > ticks[i - 1]))
      }),
    )
  })

  test('points land where their values are', () => {
    const chart = lineChart({
      title: 't',
      xLabel: 'x',
      yLabel: 'y',
      series: [
        {
          name: 's',
          tone: 0,
          dots: true,
          points: [
            [0, 0],
            [1, 1],
            [2, 4],
          ],
        },
      ],
    }).source
    const dots = [...chart.matchAll(/class="dot" cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ])
    // The x axis runs from 46 to 446; y has 5 % of its span to spare at both ends of 248 to 30, a value of 4.4 in all.
    assert.deepEqual(
      dots.map(([x]) => x),
      [46, 246, 446],
    )
    for (const [i, value] of [0, 1, 4].entries()) {
      assert.ok(Math.abs(dots[i][1] - (248 - ((value + 0.2) / 4.4) * 218)) < 0.06, `${dots[i][1]}`)
    }
  })

  test('a point that is not finite breaks the line instead of drawing it wrong', () => {
    const points = [
      [0, 1],
      [1, Number.NaN],
      [2, 1],
      [3, 2],
    ] as const
    const chart = lineChart({ title: 't', xLabel: 'x', yLabel: 'y', series: [{ name: 's', tone: 0, points }] }).source
    const path = chart.match(/class="line" d="([^"]*)"/)![1]
    assert.deepEqual(
      path
        .replace(/[\d. -]+/g, ' ')
        .trim()
        .split(' '),
      ['M', 'M', 'L'],
    )
  })

  test('thousands of points are thinned to their local means', () => {
    const points = Array.from({ length: 6000 }, (_, i) => [i, i % 2] as const)
    const chart = lineChart({ title: 't', xLabel: 'x', yLabel: 'y', series: [{ name: 's', tone: 0, points }] }).source
    assert.equal(chart.match(/class="tip"/g)!.length, 300)
    assert.match(chart, /y 0\.5</)
  })

  test('an interval says itself in words', () => {
    const bar = html`${intervalBar({ value: 0.7, low: 0.65, high: 0.75 }, 0)}`
    assert.match(bar.source, /70\.0 %, 95 % interval 65\.0 % to 75\.0 %/)
  })

  test('numbers are short', () => {
    const expected = { 0: '0', 3.14159: '3.14', 48: '48', 1536: '1536', 123456: '123 k', 2180000: '2.18 M' }
    for (const [value, text] of Object.entries(expected)) assert.equal(formatNumber(Number(value)), text)
    assert.deepEqual([-2.9, 0.000123, Number.NaN].map(formatNumber), ['−2.9', '1.2 e−4', '–'])
  })
})

describe('markup', () => {
  test('strings are escaped, markup and lists go in, undefined and false vanish', () => {
    const inner = html`<b>${'<&>'}</b>`
    assert.equal(html`${[inner, 'x"\'', 0]}${undefined}${false}`.source, '<b>&lt;&amp;&gt;</b>x&quot;&#39;0')
  })

  test('no text survives escaping as a tag, an attribute end or a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.doesNotMatch(escapeText(text), /[<>"']/)
        assert.equal(escapeText('\u0000\u001b\u0085\n'), '\ufffd\ufffd\ufffd\n')
      }),
    )
  })
})
