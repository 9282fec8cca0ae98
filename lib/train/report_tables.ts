import { formatNumber, formatPercent, formatRange } from './charts.ts'
import { type Content, html, type Markup } from './markup.ts'
import type { CardSection, EvaluationRow, Phase, PolicyReport, SampleReport } from './report_data.ts'
import type { Estimate } from './statistics.ts'

/** Win rates and measures of each policy, the rows of one slice under its name. */
export function evaluationSection(rows: readonly EvaluationRow[]): Markup {
  const hasGold = rows.some(({ gold }) => gold !== undefined)
  const rate = (share: Estimate | undefined) =>
    share === undefined || Number.isNaN(share.value)
      ? html`<td>–</td>`
      : html`<td>${formatPercent(share.value)}<span class="small">${formatRange(share)}</span></td>`
  const number = (value: number | undefined) => html`<td>${value === undefined ? '–' : formatNumber(value)}</td>`
  const tableRow = (row: EvaluationRow) =>
    html`<tr><th scope="row">${row.policy}</th>${[
      rate(row.proxy?.tiesHalf),
      rate(row.proxy?.withoutTies),
      hasGold && [rate(row.gold?.tiesHalf), rate(row.gold?.withoutTies)],
      html`<td>${row.proxy ? formatPercent(row.proxy.tieShare) : '–'}</td>`,
      [row.kl, row.entropy, row.natsPerByte, row.distinct3, row.repetition, row.length].map(number),
    ]}</tr>`
  const body = [...new Set(rows.map(({ slice }) => slice))].map((slice) => [
    html`<tr class="slice"><th colspan="${hasGold ? 12 : 10}" scope="rowgroup"><span>${slice}</span></th></tr>`,
    rows.filter((row) => row.slice === slice).map(tableRow),
  ])
  const tall = (...lines: string[]) =>
    html`<th rowspan="2" scope="col">${lines.map((line, i) => [i > 0 && html`<br>`, line])}</th>`
  return html`<h2>Evaluation</h2>
<p>Win rates are against the policy that training started from, each continuation of one against each of the other on
the same prompt, with 95 % intervals by a bootstrap over prompts. The row that compares it with itself shows what
chance does.</p>
<div class="panel scroll"><table>
<thead>
<tr>${tall('Policy')}<th colspan="2" scope="colgroup">By proxy</th>${hasGold && html`<th colspan="2" scope="colgroup">By gold</th>`}${[
    tall('Ties', '(proxy)'),
    tall('KL', 'nats/seq.'),
    tall('Entropy', 'nats/token'),
    tall('Real text', 'nats/byte'),
    tall('Distinct-3'),
    tall('Repetition'),
    tall('Length', 'tokens'),
  ]}</tr>
<tr>${['ties ½', 'without', ...(hasGold ? ['ties ½', 'without'] : [])].map((label) => html`<th scope="col">${label}</th>`)}</tr>
</thead>
<tbody>${body}</tbody>
</table></div>`
}

/** Continuations side by side, the words with ratings marked. */
export function sampleSection(
  samples: readonly SampleReport[],
  policies: readonly PolicyReport[],
  ratings: Readonly<Record<string, number>>,
): Markup {
  const tone = (name: string) => {
    const index = policies.findIndex((policy) => policy.name === name)
    return index < 0 ? 'Neutral' : index % 4
  }
  const scores = (proxy: number | undefined, gold: number | undefined) =>
    [proxy !== undefined && `proxy ${signed(proxy)}`, gold !== undefined && `gold ${signed(gold)}`]
      .filter((score) => score !== false)
      .join(', ')
  const entries = samples.map(({ prompt, source, continuations }) => {
    const columns = continuations.map(
      ({ policy, text, proxy, gold }) => html`<div class="continuation tone${tone(policy)}">
<div class="name">${policy}</div>
<blockquote>${markWords(text.trimStart(), ratings)}</blockquote>
<p class="small">${scores(proxy, gold)}</p>
</div>`,
    )
    return html`<article class="sample">
<p class="prompt">${prompt} …</p>
${source !== undefined && html`<p class="small">${source}</p>`}
<div class="continuations">${columns}</div>
</article>`
  })
  const legend =
    Object.keys(ratings).length > 0 &&
    html` Words with ratings are marked: <mark>pleasant</mark>, <mark class="unpleasant">unpleasant</mark>.`
  return html`<h2>Before and after</h2>
<p>Continuations of the same held-out prompts, drawn by the same seed and not chosen by hand.${legend}</p>
<div class="samples">${entries}</div>`
}

function markWords(text: string, ratings: Readonly<Record<string, number>>): Content {
  return text.split(/([A-Za-z]+(?:'[A-Za-z]+)*)/).map((part, i) => {
    const word = part.toLowerCase().replace(/'s$/, '')
    if (i % 2 === 0 || !Object.hasOwn(ratings, word) || ratings[word] === 0) return part
    const unpleasant = ratings[word] < 0 && html` class="unpleasant"`
    return html`<mark${unpleasant} title="${signed(ratings[word])}">${part}</mark>`
  })
}

const signed = (value: number) => `${value > 0 ? '+' : ''}${formatNumber(value)}`

/** Where the time went, what the run was, and its whole record. */
export function cardSection(phases: readonly Phase[], card: readonly CardSection[], run: unknown): Markup {
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0)
  const bars = phases.map(({ seconds }, i) => html`<span class="tone${i % 4}" style="flex: ${seconds} 1 0"></span>`)
  const keys = phases.map(
    ({ name, seconds }, i) =>
      html`<li class="tone${i % 4}"><span class="swatch"></span>${name} ${formatNumber(seconds)} s</li>`,
  )
  const time =
    phases.length > 0 &&
    html`<div class="panel">
<h3>${formatNumber(total)} seconds</h3>
<div class="phases" aria-hidden="true">${bars}</div>
<ul class="legend">${keys}</ul>
</div>`
  const sections = card.map(({ title, rows }) => {
    const entries = rows.map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)
    return html`<div class="panel"><h3>${title}</h3><dl>${entries}</dl></div>`
  })
  const record =
    run !== undefined &&
    html`<details>
<summary>run.json</summary>
<div class="panel"><pre>${JSON.stringify(run, undefined, 2)}</pre></div>
</details>`
  return html`<h2>The run</h2>
<p>What is needed to judge this result, and to get it again.</p>
${time}
${sections.length > 0 && html`<div class="card-grid">${sections}</div>`}
${record}`
}
