"""What the experiment page adds to the style sheet of the reports.

Blue stands for the champion or production, orange for the challenger or the shadow.
"""

EXPERIMENT_STYLE = """
.lead.why { font-size: 16px; color: var(--muted); max-width: 78ch; }
.badge.wait { color: var(--none); background: var(--none-soft); border-color: var(--line); }
.effect-line { fill: none; stroke: var(--ok); stroke-width: 1.2; stroke-dasharray: 5 4; }
.margin-line { fill: none; stroke: var(--drift); stroke-width: 1.2; stroke-dasharray: 5 4; }
svg .effect-word { fill: var(--ok); font-size: 11.5px; }
svg .margin-word { fill: var(--drift); font-size: 11.5px; }
.pair-agree { fill: var(--muted); fill-opacity: .5; }
.pair-differ { fill: var(--drift); }
.won-both { fill: var(--ok); fill-opacity: .6; }
.won-neither { fill: var(--muted); fill-opacity: .5; }
.share-bar { width: 100%; height: 22px; border-radius: 4px; }
.expected-mark { stroke: var(--text); stroke-width: 2; }
.look { width: 132px; height: 34px; }
.look .line.realised { stroke-width: 1.6; }
.key { display: inline-block; width: 10px; height: 10px; margin-right: 7px; border-radius: 3px; }
.key.champion { background: var(--base); } .key.challenger { background: var(--window); }
table.latency th, table.latency td { padding-top: 6px; padding-bottom: 6px; }
table.transitions thead th { white-space: nowrap; }
@media screen and (max-width: 800px) {
  .lead.why { font-size: 15px; }
}
@media print {
  .look { width: 92px; height: 26px; }
  .lead.why { font-size: 10.5pt; }
}
"""
