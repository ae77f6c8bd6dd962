// How the list of runs looks: a table where there is room, cards where there is not.

export const RUNS_STYLE = `
.kl .kl-runs { container-type: inline-size; display: flex; flex-direction: column; gap: 8px; min-width: 0; }
.kl .kl-runs-filters { display: flex; flex-direction: column; gap: 7px; }
.kl .kl-runs-filters input[type=search] { flex: 1 1 200px; }
.kl .kl-runs-tokens { display: inline-flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.kl .kl-runs-tokens > input { width: 110px; }
.kl .kl-runs-chips { gap: 5px; }
.kl .kl-runs-chips:empty { display: none; }
.kl button.kl-chip { border: 1px solid var(--kl-border); border-radius: 12px; background: none; padding: 1px 9px; min-height: 24px; cursor: pointer; }
.kl button.kl-chip:hover { background: var(--kl-bg2); }
.kl button.kl-chip[aria-pressed=true] { border-color: var(--kl-fg); background: var(--kl-bg2); box-shadow: inset 0 0 0 1px var(--kl-fg); }
.kl button.kl-chip .kl-status { font-weight: 400; }
.kl .kl-runs-line { min-height: 28px; }
.kl .kl-runs-compared { border: 1px solid var(--kl-border); border-radius: 6px; padding: 8px 12px; max-height: 70vh; overflow: auto; }
.kl .kl-runs-compared h3 { margin: 0; font-size: 1em; }
.kl .kl-runs-compared h3:focus { outline: none; }
.kl .kl-runs-bulk.kl-idle { display: none; }
.kl .kl-runs-order { display: none; }
.kl button.kl-danger { border-color: var(--kl-bad); color: var(--kl-bad); }
.kl .kl-runs-sentinel { height: 1px; margin-block-end: -1px; }
/* above the headers, and at the top of the place when it is scrolled */
.kl .kl-runs-pills { position: sticky; inset-block-start: 38px; z-index: 2; height: 0; text-align: center; }
.kl .kl-runs-pills > button { margin-block-start: -34px; }
.kl button.kl-runs-pill { border: 0; border-radius: 14px; padding: 3px 14px; background: var(--kl-accent); color: var(--kl-on-accent); cursor: pointer; font-weight: 600;
  box-shadow: 0 1px 4px color-mix(in srgb, var(--kl-fg) 35%, transparent); }
.kl .kl-runs > div > .kl-problem { margin: 0 0 8px; }
.kl .kl-runs-scroll { overflow-x: auto; }
.kl .kl-runs-scroll table { border-collapse: collapse; width: 100%; table-layout: fixed; min-width: 760px; }
.kl .kl-runs-scroll th { text-align: start; font-weight: 600; border-block-end: 1px solid var(--kl-border); padding: 5px 8px; white-space: nowrap; color: var(--kl-fg2); }
.kl .kl-runs-scroll th[aria-sort] { color: var(--kl-fg); }
.kl button.kl-runs-sort { border: 0; background: none; padding: 0; font-weight: 600; color: inherit; cursor: pointer; }
.kl button.kl-runs-sort::after { content: ''; display: inline-block; width: 1em; text-align: end; }
.kl [aria-sort=ascending] > button.kl-runs-sort::after { content: '↑'; }
.kl [aria-sort=descending] > button.kl-runs-sort::after { content: '↓'; }
.kl .kl-runs-scroll td { padding: 5px 8px; border-block-end: 1px solid color-mix(in srgb, var(--kl-border) 55%, transparent); vertical-align: middle; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-runs-scroll tbody tr[data-id] { cursor: pointer; }
.kl .kl-runs-scroll tbody tr[data-id]:hover { background: var(--kl-bg2); }
.kl .kl-runs tr.kl-chosen { background: color-mix(in srgb, var(--kl-accent) 12%, transparent); }
.kl .kl-runs tr.kl-gone { opacity: .5; }
.kl .kl-runs-box { width: 34px; }
.kl .kl-runs[data-frozen] .kl-runs-box { display: none; }
.kl .kl-runs :is(td, th).kl-runs-box { padding: 0; }
.kl .kl-runs-box > label { display: block; padding: 5px 8px 5px 10px; cursor: pointer; line-height: 1; }
.kl .kl-runs-box input { accent-color: var(--kl-accent); margin: 0; width: 15px; height: 15px; vertical-align: middle; }
.kl .kl-runs-status { width: 106px; }
.kl .kl-runs-flow { width: 17%; }
.kl .kl-runs-flow button.kl-link { max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; display: block; }
.kl .kl-runs-id { width: 88px; }
.kl .kl-runs-started { width: 122px; }
.kl .kl-runs-duration { width: 100px; font-variant-numeric: tabular-nums; }
.kl .kl-runs-progress { width: 17%; }
.kl .kl-runs-progress progress { width: 60px; height: 7px; vertical-align: middle; margin-inline-end: 6px; accent-color: var(--kl-accent); }
.kl .kl-runs-progress .kl-muted:not(:empty) + .kl-muted:not(:empty) { margin-inline-start: 6px; }
.kl .kl-runs-user { width: 80px; }
.kl .kl-runs-error { color: var(--kl-bad); }
.kl .kl-runs tr.kl-runs-expanded > td { white-space: normal; padding: 10px; background: var(--kl-bg); }
.kl .kl-runs-detail { min-width: 0; max-width: 100cqi; }
.kl .kl-runs-detail pre { margin: 0; overflow: auto; max-height: 300px; }
.kl .kl-runs-pager { min-height: 28px; }
.kl .kl-runs.kl-stale .kl-runs-scroll tbody, .kl .kl-runs.kl-waiting .kl-runs-scroll tbody { opacity: .65; }
@container (max-width: 640px) {
  .kl .kl-runs-order { display: block; }
  .kl .kl-runs-pills { inset-block-start: 4px; }
  .kl .kl-runs-pills > button { margin-block-start: -4px; }
  .kl .kl-runs-scroll table { min-width: 0; display: block; }
  .kl .kl-runs-scroll thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .kl .kl-runs-scroll tbody { display: flex; flex-direction: column; gap: 8px; }
  .kl .kl-runs-scroll tbody tr { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 3px 10px; align-items: baseline; border: 1px solid var(--kl-border); border-radius: 6px; padding: 8px 10px; }
  .kl .kl-runs-scroll tbody tr.kl-runs-expanded { display: block; margin-block-start: -8px; border-block-start: 0; border-start-start-radius: 0; border-start-end-radius: 0; }
  .kl .kl-runs-scroll tbody td { display: block; border: 0; padding: 0; width: auto; }
  .kl .kl-runs td.kl-runs-box { grid-row: span 2; }
  .kl .kl-runs td.kl-runs-box > label { padding: 4px 4px 4px 0; }
  .kl .kl-runs td.kl-runs-flow { grid-area: 1 / 2; font-weight: 600; }
  .kl .kl-runs td.kl-runs-status { grid-area: 1 / 3; }
  .kl .kl-runs td.kl-runs-started { grid-area: 2 / 2; }
  .kl .kl-runs td.kl-runs-duration { grid-area: 2 / 3; text-align: end; }
  .kl .kl-runs td.kl-runs-id { grid-area: 3 / 2; }
  .kl .kl-runs td.kl-runs-user { grid-area: 3 / 3; text-align: end; }
  .kl .kl-runs-scroll td:is(.kl-runs-progress, .kl-runs-result) { grid-column: 2 / -1; white-space: normal; overflow-wrap: anywhere; }
  .kl .kl-runs td.kl-runs-progress:not(:has(progress:not([hidden]), span:not(:empty))), .kl .kl-runs td.kl-runs-result:has(span:empty) { display: none; }
  .kl .kl-runs td.kl-runs-result:not(:has(span:empty)) { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
  .kl .kl-runs-tokens > input { width: 100%; }
  .kl .kl-runs-tokens { flex: 1 1 40%; }
  .kl .kl-runs-filters select { flex: 1 1 100%; }
}
@media (pointer: coarse) {
  .kl .kl-runs-box > label { padding-block: 10px; }
  .kl .kl-runs button.kl-chip, .kl .kl-runs button.kl-btn { min-height: 34px; }
}
`;
