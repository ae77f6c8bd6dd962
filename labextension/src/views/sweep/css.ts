// How a sweep looks.

export const SWEEP_STYLE = `
.kl .kl-sweep { display: flex; flex-direction: column; gap: 8px; min-width: 0; padding: 2px 0; }
.kl .kl-sweep > .kl-row > progress { width: 110px; height: 8px; }
.kl .kl-sweep-acts:not(:has(button:not([hidden]), span:not(:empty))) { display: none; }
.kl .kl-sweep-scroll { overflow: auto; max-height: 60vh; }
.kl .kl-sweep table { border-collapse: collapse; }
.kl .kl-sweep :is(td, th) { padding: 3px 10px 3px 0; text-align: start; vertical-align: middle; }
.kl .kl-sweep thead th { max-width: 22em; overflow: hidden; text-overflow: ellipsis; position: sticky; inset-block-start: 0; z-index: 1; background: var(--kl-bg); font-weight: 600; color: var(--kl-fg2); white-space: nowrap; border-block-end: 1px solid var(--kl-border); }
.kl .kl-sweep tbody th { font-weight: 600; max-width: 22em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-sweep th.kl-sweep-index { font-weight: 400; color: var(--kl-fg2); font-variant-numeric: tabular-nums; }
.kl .kl-sweep-list { width: 100%; }
.kl .kl-sweep-list tbody tr { border-block-end: 1px solid color-mix(in srgb, var(--kl-border) 55%, transparent); }
.kl .kl-sweep-input { max-width: 20em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-sweep-result { width: 45%; overflow-wrap: anywhere; }
.kl .kl-sweep-error { color: var(--kl-bad); }
.kl .kl-sweep-grid td { padding: 2px 4px 2px 0; }
.kl button.kl-sweep-cell {
  display: inline-flex; align-items: center; gap: 6px; border: 1px solid transparent; border-radius: 4px; background: none; padding: 2px 7px; margin-inline-start: -8px;
  min-height: 26px; cursor: pointer; white-space: nowrap;
}
.kl .kl-sweep-grid button.kl-sweep-cell { border-color: var(--kl-border); margin: 0; min-width: 128px; }
.kl button.kl-sweep-cell:disabled { cursor: default; opacity: .6; }
.kl button.kl-sweep-cell:hover:not(:disabled) { background: var(--kl-bg2); }
.kl button.kl-sweep-cell[aria-expanded=true] { background: color-mix(in srgb, var(--kl-accent) 14%, transparent); border-color: var(--kl-accent); }
.kl .kl-sweep-time { color: var(--kl-fg2); font-variant-numeric: tabular-nums; }
.kl .kl-sweep-cell progress { width: 44px; height: 6px; }
.kl .kl-sweep-run:not(:empty) { border-block-start: 1px solid var(--kl-border); padding-block-start: 8px; }
.kl .kl-sweep.kl-stale table { opacity: .65; }
`;
