// How forms look.

export const FIELDS_CSS = `
.kl .kl-form { display: block; max-width: 640px; }
.kl .kl-form fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
.kl .kl-form-body, .kl .kl-form-inner { display: flex; flex-direction: column; gap: 4px; }
.kl :is(.kl-form-body, .kl-form-inner) > :not(.kl-form-field) { margin-block-end: 10px; }
.kl .kl-form-field { display: flex; flex-direction: column; gap: 3px; min-width: 0; }
/* its line is kept free: a message that pushes the rest down would take a click from under the mouse */
.kl .kl-form-field > .kl-form-message { min-height: 1.45em; margin-block-start: -2px; }
.kl .kl-form-label, .kl .kl-form legend { font-weight: 600; }
.kl .kl-form-required { color: var(--kl-bad); margin-inline-start: 3px; font-weight: 400; }
.kl .kl-form-control { width: 100%; }
.kl .kl-form-control[size] { width: auto; }
.kl .kl-form .kl-form-field > input:is(.kl-form-number, .kl-form-date, .kl-form-time, .kl-form-datetime-local) { max-width: 240px; }
.kl .kl-form textarea { resize: vertical; line-height: 1.45; display: block; }
.kl .kl-form :is(input, select, textarea):not([type=checkbox]):is(:hover:not(:disabled)) { border-color: var(--kl-fg2); }
.kl .kl-form :is(input, select, textarea)::placeholder { color: var(--kl-fg2); opacity: .75; }
.kl .kl-form .kl-form-control[aria-invalid=true] { border-color: var(--kl-bad); box-shadow: inset 0 0 0 1px var(--kl-bad); }
.kl .kl-form-help, .kl .kl-form-message, .kl .kl-form-note, .kl .kl-form-under { margin: 0; font-size: .92em; overflow-wrap: anywhere; }
.kl .kl-form-help { color: var(--kl-fg2); }
.kl .kl-form-message { color: var(--kl-bad); white-space: pre-wrap; }
.kl .kl-form-note { color: var(--kl-fg2); border-inline-start: 3px solid var(--kl-border); padding: 4px 10px; margin-block-end: 10px; }
.kl .kl-form-hint { color: var(--kl-fg2); min-height: 1.45em; }
.kl .kl-form-hint.kl-warn { color: var(--kl-warn); }
.kl .kl-form-beside { display: flex; gap: 6px; align-items: center; }
.kl .kl-form-beside > :is(input, textarea) { flex: 1 1 auto; min-width: 0; max-width: none; }
.kl .kl-form-beside > button { flex: none; }
.kl .kl-form-box { display: flex; align-items: flex-start; gap: 7px; cursor: pointer; width: fit-content; max-width: 100%; }
.kl .kl-form-box > input { margin: .2em 0 0; flex: none; accent-color: var(--kl-accent); width: 1.05em; height: 1.05em; }
.kl .kl-form-box > span { overflow-wrap: anywhere; min-width: 0; }
.kl .kl-form-choices-head { display: flex; align-items: baseline; justify-content: space-between; gap: 8px; margin-block-end: 3px; }
.kl .kl-form-choices { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 4px 14px; max-height: 260px; overflow: auto;
  border: 1px solid var(--kl-border); border-radius: 4px; padding: 7px 9px; }
.kl .kl-form input[type=search] + .kl-form-choices { margin-block-start: 6px; }
.kl .kl-invalid > div > .kl-form-choices { border-color: var(--kl-bad); }
.kl .kl-form-list, .kl .kl-form-list-rows { display: flex; flex-direction: column; align-items: stretch; gap: 6px; }
.kl .kl-form-list-rows:empty { display: none; }
.kl .kl-form-list > button { align-self: flex-start; }
.kl .kl-form-list > p { margin: 0; }
.kl .kl-form .kl-form-group { border: 1px solid var(--kl-border); border-radius: 6px; padding: 8px 12px 0; }
.kl .kl-form .kl-form-group.kl-off { border: 0; padding: 0; }
.kl .kl-form .kl-form-group.kl-off > legend { padding: 0; margin: 0; }
.kl .kl-form .kl-form-group > legend { padding: 0 5px; margin-inline-start: -5px; }
.kl .kl-form .kl-form-group > .kl-form-help { margin-block-end: 8px; }
.kl input.kl-form-switch { appearance: none; position: relative; width: 28px !important; height: 16px !important; margin-block-start: .12em !important; border-radius: 8px;
  background: var(--kl-border); cursor: pointer; }
.kl input.kl-form-switch::after { content: ''; position: absolute; inset: 2px auto 2px 2px; width: 12px; border-radius: 50%; background: var(--kl-bg); }
.kl input.kl-form-switch:checked { background: var(--kl-accent); }
.kl input.kl-form-switch:checked::after { transform: translateX(12px); }
.kl .kl-form-drop { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; border: 1px dashed var(--kl-border); border-radius: 6px; padding: 12px; position: relative; }
.kl .kl-form-drop:focus-within { outline: 2px solid var(--kl-accent); outline-offset: 1px; }
.kl .kl-form-drop.kl-over { border-color: var(--kl-accent); background: var(--kl-bg2); }
.kl .kl-invalid .kl-form-drop { border-color: var(--kl-bad); }
.kl .kl-form-files { list-style: none; margin: 4px 0 0; padding: 0; }
.kl .kl-form-files > li { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; padding: 3px 0; }
.kl .kl-form-file { flex: 1 1 120px; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.kl .kl-form-files progress { width: 110px; height: 8px; accent-color: var(--kl-accent); }
.kl .kl-form-files > li[data-state=failed] .kl-muted { color: var(--kl-bad); }
.kl .kl-form .kl-form-hr { width: 100%; border: 0; border-block-start: 1px solid var(--kl-border); margin: 0 0 10px; }
.kl .kl-form [inert] { opacity: .75; }
.kl .kl-form-break { height: 2px; }
.kl .kl-form-body:disabled { opacity: .75; }
.kl .kl-form[aria-busy=true] .kl-primary { cursor: progress; }
.kl .kl-form-body > :last-child { margin-block-end: 0; }
@media (prefers-reduced-motion: no-preference) {
  .kl input.kl-form-switch::after { transition: transform .12s; }
}
@media (pointer: coarse) {
  .kl .kl-form :is(input:not([type=checkbox]), select, textarea, button.kl-btn) { min-height: 36px; }
  .kl .kl-form input:not([type=checkbox]), .kl .kl-form :is(select, textarea) { font-size: 16px; }
  .kl .kl-form-box { padding-block: 5px; }
}
@media (forced-colors: active) {
  .kl input.kl-form-switch { appearance: auto; }
  .kl input.kl-form-switch::after { display: none; }
}
`;
