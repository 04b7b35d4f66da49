"""The style sheet of ``report.html``: light, dark and print from one set of colours.

Blue stands for the baseline and orange for the window everywhere; the pair is told apart with any
colour vision and in greyscale. Print is always light and needs no background graphics.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #ffffff; --soft: #f5f6f8; --line: #e1e4e9; --hair: #eceef2;
  --text: #161a20; --muted: #59616e; --link: #0b5cad;
  --base: #2b6cb0; --base-fill: #2b6cb038; --window: #c8500a; --window-fill: #c8500a1c;
  --drift: #b3400a; --drift-soft: #fdeee4; --ok: #1d6b52; --ok-soft: #e5f3ee;
  --none: #59616e; --none-soft: #eef0f3; --threshold: #b3400a; --band: #c8500a14;
  --s0: #c8500a; --s1: #2b6cb0; --s2: #117a5d; --s3: #a3357f; --s4: #7a5c00;
  --allowed: #1d6b521c; --estimate: #7a3fb0; --estimate-fill: #7a3fb01f;
  --realised-fill: #c8500a24;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #151a20; --soft: #1a2028; --line: #2b333e; --hair: #222932;
    --text: #e8ebf0; --muted: #9aa5b4; --link: #7cb8f2;
    --base: #6aaeee; --base-fill: #6aaeee40; --window: #ff9a4d; --window-fill: #ff9a4d22;
    --drift: #ffa866; --drift-soft: #3a2415; --ok: #6cd0ad; --ok-soft: #14302a;
    --none: #9aa5b4; --none-soft: #232a33; --threshold: #ffa866; --band: #ff9a4d1a;
    --s0: #ff9a4d; --s1: #6aaeee; --s2: #5ccfa8; --s3: #ee8fce; --s4: #e3c463;
    --allowed: #6cd0ad26; --estimate: #c7a0f5; --estimate-fill: #c7a0f530;
    --realised-fill: #ff9a4d2e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text); font-size: 15px; line-height: 1.5;
  font-family: Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue",
    "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main, header.top, footer { max-width: 1040px; margin: 0 auto; padding: 0 28px; }
header.top { padding-top: 44px; }
.eyebrow {
  margin: 0; color: var(--muted); font-size: 12px; font-weight: 600; letter-spacing: .06em;
  text-transform: uppercase;
}
.title { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; margin: 6px 0 2px; }
h1 { margin: 0; font-size: 32px; line-height: 1.2; letter-spacing: -.02em; font-weight: 650; }
h1, h3, td, th, dd, p, li { overflow-wrap: anywhere; }
h2 { margin: 52px 0 4px; font-size: 19px; letter-spacing: -.01em; font-weight: 650; }
h3 { margin: 0; font-size: 16px; font-weight: 650; }
.meta { margin: 0; color: var(--muted); font-size: 14px; }
.meta span + span::before { content: "·"; margin: 0 .55em; }
.note { margin: 0 0 16px; color: var(--muted); font-size: 14px; max-width: 76ch; }
.badge {
  display: inline-block; padding: 1px 9px; border: 1px solid transparent; border-radius: 99px;
  font-size: 12.5px; font-weight: 600; white-space: nowrap; line-height: 1.6;
}
.badge.big { font-size: 14px; padding: 3px 13px; }
.badge.drift, .badge.violations {
  color: var(--drift); background: var(--drift-soft); border-color: currentColor;
}
.badge.ok { color: var(--ok); background: var(--ok-soft); }
.badge.insufficient { color: var(--none); background: var(--none-soft); border-style: dashed;
  border-color: currentColor; }
.lead { margin: 26px 0 0; font-size: 19px; line-height: 1.5; letter-spacing: -.005em;
  max-width: 68ch; }
.advice { margin: 12px 0 0; padding-left: 1.15em; max-width: 76ch; color: var(--muted); }
.advice li { margin: 3px 0; }
.tiles {
  display: grid; grid-template-columns: repeat(5, 1fr); margin: 30px 0 0; padding: 0;
  border: 1px solid var(--line); border-radius: 12px; overflow: hidden;
}
.tiles > div { padding: 15px 18px 14px; border-left: 1px solid var(--line); }
.tiles > div:first-child { border-left: 0; }
.tiles dt { color: var(--muted); font-size: 13px; }
.tiles dd { margin: 3px 0 0; font-size: 25px; line-height: 1.2; font-weight: 620;
  letter-spacing: -.02em; }
.tiles dd small { display: block; margin-top: 3px; color: var(--muted); font-size: 12.5px;
  font-weight: 400; letter-spacing: 0; line-height: 1.35; }
.tiles .hot dd { color: var(--drift); }
.tiles.more { margin-top: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.lead + .lead { margin-top: 12px; }
.card { padding: 20px 22px; margin: 16px 0 0; border: 1px solid var(--line); border-radius: 12px;
  background: var(--card); }
.card header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.card header .kind { color: var(--muted); font-size: 13.5px; }
.split { display: grid; grid-template-columns: minmax(0, 1.45fr) minmax(0, 1fr); gap: 10px 34px;
  margin-top: 14px; align-items: start; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0 0 8px; color: var(--muted);
  font-size: 13px; }
.legend svg { width: 14px; height: 10px; margin-right: 6px; }
.caption { margin: 6px 0 0; color: var(--muted); font-size: 12.5px; line-height: 1.4; }
.facts { margin: 0; font-size: 14px; }
.facts > div { display: flex; justify-content: space-between; gap: 18px; padding: 5px 0;
  border-bottom: 1px solid var(--hair); }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; text-align: right; }
.sub { margin: 16px 0 2px; font-size: 13px; font-weight: 600; color: var(--muted); }
.pairs { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.pairs .card { margin: 0; padding: 16px 18px; }
.pairs .legend { margin-top: 10px; }
.reason { margin: 6px 0 0; color: var(--muted); font-size: 13.5px; line-height: 1.45; }
.causes { list-style: none; margin: 14px 0 0; padding: 0; border-top: 1px solid var(--line); }
.causes li { display: grid; grid-template-columns: 190px minmax(0, 1fr); gap: 4px 26px;
  padding: 13px 0; border-bottom: 1px solid var(--line); }
.causes .who { display: flex; flex-direction: column; align-items: flex-start; gap: 4px;
  font-weight: 650; overflow-wrap: anywhere; }
.causes .who small { color: var(--muted); font-size: 12.5px; font-weight: 400; line-height: 1.4; }
.causes dl { margin: 0; font-size: 14px; }
.causes dl > div { display: grid; grid-template-columns: 52px minmax(0, 1fr); padding: 1.5px 0; }
.causes dt { color: var(--muted); }
.causes dd { margin: 0; }
h2 .badge { vertical-align: 2px; margin-left: 8px; letter-spacing: 0; }
thead th small { display: block; font-weight: 400; }
thead th.n { white-space: nowrap; }
.features .spark { width: 112px; }
.scroll + .plain, .advice + .scroll { margin-top: 10px; }
table.features th, table.features td { padding-left: 7px; padding-right: 7px; }
table.features tr > :first-child { padding-left: 0; }
table.features tr > :last-child { padding-right: 0; }
.references td { white-space: nowrap; }
.split.even { grid-template-columns: minmax(0, 1fr) minmax(0, 1.25fr); }
.scroll { overflow-x: auto; margin: 0 -28px; padding: 0 28px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th { text-align: left; font-weight: 600; }
thead th { padding: 8px 10px; border-bottom: 1.5px solid var(--line); color: var(--muted);
  font-size: 12.5px; vertical-align: bottom; line-height: 1.35; }
tbody th, tbody td { padding: 9px 10px; border-bottom: 1px solid var(--hair);
  vertical-align: middle; }
tr > :first-child { padding-left: 0; }
tr > :last-child { padding-right: 0; }
tbody th small { display: block; color: var(--muted); font-size: 12.5px; font-weight: 400; }
th.n, td.n { text-align: right; }
td.n { white-space: nowrap; }
td small { color: var(--muted); font-size: 12.5px; }
td.n small { display: block; font-weight: 400; }
table.moved { font-size: 13.5px; }
table.moved th, table.moved td { padding: 4px 0; }
table.moved tbody th { font-weight: 400; padding-right: 10px; }
table.moved .change { padding-left: 12px; color: var(--muted); }
table.features tbody th { min-width: 130px; }
.strong { font-weight: 600; }
svg { display: block; overflow: visible; }
.chart { width: 100%; height: auto; }
.history { width: 100%; min-width: 700px; height: auto; margin-top: 8px; }
.spark { width: 132px; height: 30px; }
svg text { font-family: inherit; font-size: 12.5px; fill: var(--text); }
svg .tick { fill: var(--muted); font-size: 11.5px; }
svg .value { font-size: 12px; fill: var(--muted); }
svg tspan.strong { fill: var(--text); font-weight: 600; }
svg .novel { fill: var(--window); font-style: italic; }
.grid { stroke: var(--hair); }
.axis { stroke: var(--line); }
.history .axis, .chart .axis { stroke: var(--muted); stroke-opacity: .55; }
.base-fill { fill: var(--base-fill); }
.base-line { fill: none; stroke: var(--base); stroke-width: 1.2; stroke-opacity: .75; }
.window-fill { fill: var(--window-fill); }
.window-line { fill: none; stroke: var(--window); stroke-width: 2; stroke-linejoin: round; }
.spark .window-line { stroke-width: 1.5; }
.base-bar { fill: var(--base); fill-opacity: .55; }
.window-bar { fill: var(--window); }
.hover { fill: transparent; }
.hover:hover { fill: var(--muted); fill-opacity: .12; }
.whisker { width: 92px; height: 16px; }
.whisker .threshold { stroke-width: 1; stroke-dasharray: 2.5 2; }
.reach { fill: none; stroke: var(--muted); stroke-width: 1.3; }
.reach.hot { stroke: var(--window); stroke-width: 1.8; }
.at { fill: var(--muted); } .at.hot { fill: var(--window); }
.under { display: block; white-space: nowrap; }
.interval { fill: none; stroke: var(--text); stroke-width: 1.2; }
.from-to { stroke: var(--muted); stroke-width: 1.5; stroke-opacity: .6; }
.base-dot { fill: var(--page); stroke: var(--base); stroke-width: 2; }
.window-dot { fill: var(--window); }
.learning { fill: var(--muted); fill-opacity: .09; }
.since { stroke: var(--muted); stroke-dasharray: 2 3; }
.alarm-band { fill: var(--band); }
.alarm-mark { fill: var(--drift); }
.threshold { stroke: var(--threshold); stroke-width: 1.2; stroke-dasharray: 5 4; }
.reported { fill: none; stroke: var(--muted); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.quiet { stroke: var(--muted); stroke-opacity: .45; stroke-width: 1.3; }
.dot.quiet { fill: var(--muted); fill-opacity: .6; }
.leader { fill: none; stroke: var(--line); }
svg .label.quiet { fill: var(--muted); }
svg .label.quiet .strong { fill: var(--muted); }
.line.s0 { stroke: var(--s0); } .dot.s0, svg .label.s0, svg .s0 .strong { fill: var(--s0); }
.line.s1 { stroke: var(--s1); stroke-dasharray: 7 3; }
.dot.s1, svg .label.s1, svg .s1 .strong { fill: var(--s1); }
.line.s2 { stroke: var(--s2); stroke-dasharray: 2.5 3; }
.dot.s2, svg .label.s2, svg .s2 .strong { fill: var(--s2); }
.line.s3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3; }
.dot.s3, svg .label.s3, svg .s3 .strong { fill: var(--s3); }
.line.s4 { stroke: var(--s4); stroke-dasharray: 5 3; }
.dot.s4, svg .label.s4, svg .s4 .strong { fill: var(--s4); }
.line.realised { stroke: var(--window); stroke-width: 2.2; }
.line.unsettled { stroke: var(--window); stroke-width: 1.2; stroke-opacity: .45;
  stroke-dasharray: 2 3; }
.line.estimated { stroke: var(--estimate); stroke-dasharray: 6 3; }
svg .label.realised, svg .realised .strong { fill: var(--window); }
svg .label.estimated, svg .estimated .strong { fill: var(--estimate); }
.band-realised { fill: var(--realised-fill); }
.band-estimated { fill: var(--estimate-fill); }
.band-realised.lone { stroke: var(--window); stroke-opacity: .5; }
.band-estimated.lone { stroke: var(--estimate); stroke-opacity: .5; }
.base-level { fill: none; stroke: var(--base); stroke-width: 1.4; }
.promotion { fill: none; stroke: var(--text); stroke-opacity: .65; stroke-dasharray: 4 2; }
.outcome-dot.hot { fill: var(--window); stroke: var(--page); }
.outcome-dot.calm { fill: var(--window); }
.outcome-dot.hollow { fill: var(--page); stroke: var(--window); stroke-width: 1.6; }
.concept-mark { fill: var(--page); stroke: var(--estimate); stroke-width: 1.8; }
.allowed { fill: var(--allowed); }
.base-mark { stroke: var(--base); stroke-width: 2.2; }
.whisker.wide { width: 112px; height: 18px; }
svg .cell-note { font-size: 11.5px; }
.cell.hit { fill: var(--ok); }
.cell.miss { fill: var(--window); }
svg .rank { font-size: 11.5px; fill: var(--muted); }
svg .rank.rose { fill: var(--drift); }
.hot { color: var(--drift); }
.sub + .legend { margin-top: 6px; }
.sub + .caption { margin-bottom: 6px; }
.pairs.outcomes { margin-top: 20px; }
.card.labels .kind { font-weight: 400; }
.card .scroll { margin: 10px 0 0; padding: 0; }
.card .note { margin-bottom: 8px; }
.title .badges { display: flex; flex-wrap: wrap; gap: 6px; }
footer { margin-top: 56px; padding-top: 18px; padding-bottom: 56px; color: var(--muted);
  font-size: 13.5px; line-height: 1.55; }
footer > div { border-top: 1px solid var(--line); padding-top: 22px; }
footer h2 { margin: 0 0 8px; font-size: 14px; color: var(--text); }
footer dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 22px; margin: 0; }
footer dt { font-weight: 600; color: var(--text); }
footer dd { margin: 0; max-width: 88ch; }
@media screen and (max-width: 800px) {
  main, header.top, footer { padding-left: 18px; padding-right: 18px; }
  header.top { padding-top: 26px; }
  h1 { font-size: 26px; }
  .lead { font-size: 17px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles > div { border-left: 0; border-bottom: 1px solid var(--line); }
  .tiles > div:nth-child(even) { border-left: 1px solid var(--line); }
  .tiles > div:last-child { border-bottom: 0; grid-column: 1 / -1; }
  .split, .split.even, .pairs { grid-template-columns: minmax(0, 1fr); }
  .causes li { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 16px; }
  .scroll { margin: 0 -18px; padding: 0 18px; }
  .scroll > table { min-width: 900px; }
  .scroll > table.plain { min-width: 0; }
  .card .scroll { margin: 10px 0 0; padding: 0; }
  footer dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  footer dd { margin-bottom: 8px; }
}
@page { size: A4; margin: 15mm 14mm; }
@media print {
  body { font-size: 10pt; }
  main, header.top, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header.top { padding-top: 0; }
  h1 { font-size: 20pt; }
  h2 { margin-top: 22pt; font-size: 13pt; break-after: avoid; }
  .note { break-after: avoid; font-size: 9pt; }
  .lead { font-size: 12.5pt; margin-top: 14pt; }
  .tiles { margin-top: 16pt; }
  .tiles > div { padding: 8pt 10pt; }
  .tiles dd { font-size: 16pt; }
  .card, .tiles, tr, .history, .causes li, footer > div { break-inside: avoid; }
  .causes li { padding: 6pt 0; grid-template-columns: 110pt minmax(0, 1fr); }
  .causes dl, .causes .who small { font-size: 8.5pt; }
  .whisker, .whisker.wide { width: 76px; height: 14px; }
  .card { padding: 12pt 14pt; }
  .split { gap: 8pt 20pt; }
  .scroll { overflow: visible; margin: 0; padding: 0; }
  .scroll > table { min-width: 0; font-size: 8.5pt; }
  table.features tbody th { min-width: 96pt; }
  .history { min-width: 0; }
  thead th, tbody th, tbody td { padding: 4pt 5pt; }
  thead th, tbody th small, td small { font-size: 7.5pt; }
  .badge { background: none !important; border-color: currentColor; font-size: 8pt; }
  .badge.big { font-size: 10pt; }
  .spark, .features .spark { width: 92px; height: 24px; }
  .tiles dt, .tiles dd small { font-size: 8pt; }
  .facts, table.moved { font-size: 8.5pt; }
  .facts > div { padding: 2.5pt 0; gap: 10pt; }
  .sub, .reason, .caption, .legend { font-size: 8pt; }
  .advice { font-size: 9.5pt; }
  footer { font-size: 8.5pt; margin-top: 22pt; padding-bottom: 0; }
}
"""
