/** The report's one style sheet. Colours are Okabe and Ito's, which colour-blind readers can tell apart. */
export const REPORT_STYLE = `
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --panel: #ffffff; --ink: #1c1e21; --soft: #5d6470; --rule: #e3e4e0; --grid: #ecedea;
  --tone0: #0072b2; --tone1: #c4540a; --tone2: #00805e; --tone3: #a8497f; --neutral: #6b7280;
  --pleasant: #00734f; --unpleasant: #b3261e; --alarm: #b3261e; --alarm-pale: #b3261e14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --panel: #1b1e24; --ink: #e6e8eb; --soft: #9aa3b0; --rule: #30353e; --grid: #272b33;
    --tone0: #5cb3ee; --tone1: #f39a4d; --tone2: #3cc79a; --tone3: #dd8fbc; --neutral: #98a1ae;
    --pleasant: #4fd0a0; --unpleasant: #ff8f84; --alarm: #ff8f84; --alarm-pale: #ff8f841c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 72rem;
  background: var(--page); color: var(--ink); line-height: 1.55;
  font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
h1 { font-size: clamp(1.6rem, 4.5vw, 2.25rem); line-height: 1.15; letter-spacing: -0.02em; margin: 0 0 0.6rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 3rem 0 0.3rem; }
h3 { font-size: 0.95rem; margin: 0; }
p { margin: 0 0 0.8rem; max-width: 44rem; }
h2 + p { color: var(--soft); margin-bottom: 1.1rem; }
.summary { font-size: 1.08rem; }
.details {
  display: flex; flex-wrap: wrap; gap: 0 1.1rem; margin: 0; padding: 0; list-style: none; color: var(--soft);
  font-size: 0.85rem;
}
.panel, figure, .sample {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 10px; margin: 0; padding: 1rem 1.1rem;
  min-width: 0;
}
.cards {
  display: grid; gap: 1rem; margin-top: 1.6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr));
}
.facts {
  display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 10.5rem), 1fr));
}
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.name { font-weight: 650; }
.big { font-size: 2.5rem; font-weight: 650; line-height: 1.15; letter-spacing: -0.03em; }
.facts .big { font-size: 1.5rem; }
.small, figcaption p { color: var(--soft); font-size: 0.85rem; line-height: 1.45; margin: 0; }
.measure { margin-top: 0.8rem; }
.measure .row { display: flex; justify-content: space-between; gap: 0.8rem; font-size: 0.85rem; }
.measure .row span:last-child { white-space: nowrap; }
.verdict { font-size: 0.85rem; margin: 0.8rem 0 0; }
.met { color: var(--pleasant); } .missed { color: var(--unpleasant); }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; list-style: none; margin: 0.5rem 0 0; padding: 0;
  font-size: 0.82rem; color: var(--ink);
}
.legend li { display: flex; align-items: center; gap: 0.4rem; }
.key { width: 22px; height: 8px; }
figure { display: flex; flex-direction: column; }
figure .chart { margin-top: auto; padding-top: 0.6rem; }
.empty { color: var(--soft); padding: 3rem 0; text-align: center; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 11.5px; fill: var(--soft); }
svg .note, svg .alarm { paint-order: stroke; stroke: var(--panel); stroke-width: 3px; }
svg .strong { font-weight: 650; fill: var(--ink); }
svg .alarm { fill: var(--alarm); font-weight: 650; }
.grid { stroke: var(--grid); }
.stroke { stroke: var(--neutral); }
.reference, .chance { stroke: var(--neutral); stroke-dasharray: 3 3; }
.shade { fill: var(--alarm-pale); } .mark { stroke: var(--alarm); stroke-dasharray: 4 3; }
.tone0 { --tone: var(--tone0); }
.tone1 { --tone: var(--tone1); }
.tone2 { --tone: var(--tone2); }
.tone3 { --tone: var(--tone3); }
.toneNeutral { --tone: var(--neutral); }
.line { fill: none; stroke: var(--tone); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 5 4; } .pale { opacity: 0.28; stroke-width: 1.2; }
.dot { fill: var(--tone); stroke: var(--panel); stroke-width: 1.2; }
.tip { fill: transparent; } .tip:hover { fill: var(--tone); opacity: 0.5; }
.ring { fill: none; stroke: var(--ink); stroke-width: 1.6; }
.track { stroke: var(--grid); stroke-width: 6; stroke-linecap: round; }
.span { stroke: var(--tone); stroke-width: 8; opacity: 0.4; }
.value { stroke: var(--tone); stroke-width: 3; stroke-linecap: round; }
.interval { margin-top: 0.15rem; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: 0.82rem; }
th, td {
  padding: 0.42rem 0.55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule);
  vertical-align: top;
}
th { font-weight: 600; } thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
thead tr:first-child th[colspan] { text-align: center; color: var(--ink); }
tbody th, thead tr:first-child th:first-child {
  text-align: left; position: sticky; left: 0; background: var(--panel); padding-left: 0;
}
tbody tr:last-child > * { border-bottom: 0; }
.slice th { color: var(--soft); font-weight: 500; padding-top: 1rem; }
.slice th span { position: sticky; left: 0; }
td .small { display: block; font-size: 0.76rem; }
.samples { display: grid; gap: 1rem; }
.prompt { font-weight: 600; margin: 0; }
.continuations {
  display: grid; gap: 1rem 1.4rem; margin-top: 0.8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
}
.continuation { min-width: 0; border-left: 3px solid var(--tone); padding-left: 0.8rem; }
.continuation blockquote {
  margin: 0.15rem 0 0.3rem; white-space: pre-wrap; font-family: ui-serif, Georgia, "DejaVu Serif", serif;
  font-size: 0.95rem; line-height: 1.5;
}
mark { background: none; color: var(--pleasant); text-decoration: underline 1.5px; text-underline-offset: 3px; }
mark.unpleasant { color: var(--unpleasant); text-decoration-style: wavy; text-decoration-thickness: 1px; }
.phases { display: flex; height: 14px; border-radius: 7px; overflow: hidden; gap: 2px; margin: 0.2rem 0 0.7rem; }
.phases span { background: var(--tone); min-width: 2px; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; background: var(--tone); }
.phases span:nth-child(n + 5), .legend li:nth-child(n + 5) .swatch { opacity: 0.55; }
.card-grid {
  display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr));
  margin-top: 1rem;
}
dl {
  display: grid; grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr); gap: 0.25rem 1rem;
  margin: 0.6rem 0 0; font-size: 0.85rem;
}
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
details { margin-top: 1rem; } summary { cursor: pointer; font-size: 0.9rem; }
pre {
  overflow-x: auto; font-size: 0.78rem; line-height: 1.45; margin: 0.8rem 0 0;
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace;
}
@media (max-width: 30rem) { .panel, figure, .sample { padding: 0.85rem; } svg.chart text { font-size: 14.5px; } }
@media print { body { max-width: none; } figure, .sample, .panel { break-inside: avoid; } }
`
