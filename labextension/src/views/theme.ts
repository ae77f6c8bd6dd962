// Colours and type of every view: JupyterLab's variables, else Panel's, else the system's.
// Views use these variables only; nothing else may name a colour.

import { h } from './dom.ts';

const VARIABLES = `
.kl {
  --kl-fg: var(--jp-ui-font-color1, var(--panel-on-background-color, CanvasText));
  --kl-fg2: var(--jp-ui-font-color2, color-mix(in srgb, var(--kl-fg) 72%, var(--kl-bg)));
  --kl-bg: var(--jp-layout-color1, var(--panel-background-color, Canvas));
  --kl-bg2: var(--jp-layout-color2, var(--panel-surface-color, color-mix(in srgb, var(--kl-fg) 6%, var(--kl-bg))));
  --kl-border: var(--jp-border-color2, var(--panel-border-color, color-mix(in srgb, var(--kl-fg) 24%, var(--kl-bg))));
  --kl-accent: light-dark(#1b63b5, #6cb2ff);
  --kl-on-accent: light-dark(#ffffff, #0b1a2b);
  --kl-ok: light-dark(#18774a, #58cf95);
  --kl-warn: light-dark(#8f5a00, #f0b74a);
  --kl-bad: light-dark(#c0273a, #ff8a94);
  --kl-idle: light-dark(#5f6670, #aab2bd);
  --kl-mark: light-dark(#fff0a8, #5d4d00);
  --kl-font: var(--jp-ui-font-family, system-ui, sans-serif);
  --kl-mono: var(--jp-code-font-family, ui-monospace, 'DejaVu Sans Mono', monospace);
  --kl-size: var(--jp-ui-font-size1, 13px);
  color-scheme: light dark;
  color: var(--kl-fg);
  background: var(--kl-bg);
  font: 400 var(--kl-size)/1.45 var(--kl-font);
  text-align: start;
}
.jp-OutputArea .kl {
  --kl-bg: var(--jp-layout-color0, Canvas);
  --kl-bg2: color-mix(in srgb, var(--kl-fg) 7%, var(--kl-bg));
}
.kl[data-theme=light] { color-scheme: light; }
.kl[data-theme=dark] { color-scheme: dark; }
.kl, .kl * { box-sizing: border-box; }
.kl [hidden] { display: none !important; }
.kl :focus-visible { outline: 2px solid var(--kl-accent); outline-offset: 1px; }
.kl button, .kl input, .kl select, .kl textarea { font: inherit; color: inherit; }
.kl button.kl-btn {
  border: 1px solid var(--kl-border); border-radius: 4px; background: var(--kl-bg); padding: 2px 10px; cursor: pointer;
  min-height: 26px; white-space: nowrap;
}
.kl button.kl-btn:hover:not(:disabled) { background: var(--kl-bg2); }
.kl button.kl-btn:disabled { opacity: .55; cursor: default; }
.kl button.kl-btn.kl-primary { background: var(--kl-accent); border-color: var(--kl-accent); color: var(--kl-on-accent); }
.kl button.kl-btn.kl-primary:hover:not(:disabled) { background: var(--kl-accent); filter: brightness(1.08); }
.kl button.kl-link { border: 0; background: none; padding: 0; color: var(--kl-accent); cursor: pointer; text-align: start; }
.kl button.kl-link:hover { text-decoration: underline; }
.kl input:not([type=checkbox]):not([type=radio]):not([type=range]), .kl select, .kl textarea {
  border: 1px solid var(--kl-border); border-radius: 4px; background: var(--kl-bg); padding: 3px 8px; min-height: 26px;
  max-width: 100%;
}
.kl a { color: var(--kl-accent); }
/* Drawn by hand: a page that resets borders makes the browser's own bar green. */
.kl progress { appearance: none; border: 0; border-radius: 4px; overflow: hidden; background: var(--kl-border); }
.kl progress::-webkit-progress-bar { background: none; }
.kl progress::-webkit-progress-value { background: var(--kl-accent); }
.kl progress::-moz-progress-bar { background: var(--kl-accent); }
.kl .kl-muted { color: var(--kl-fg2); }
.kl .kl-mono { font-family: var(--kl-mono); font-size: .92em; }
.kl .kl-row { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.kl .kl-grow { flex: 1 1 auto; min-width: 0; }
.kl .kl-empty { padding: 18px 12px; color: var(--kl-fg2); text-align: center; }
.kl .kl-problem { border-inline-start: 3px solid var(--kl-bad); padding: 6px 10px; background: var(--kl-bg2); white-space: pre-wrap; overflow-wrap: anywhere; }
.kl .kl-status { display: inline-flex; align-items: center; gap: 5px; font-weight: 600; }
.kl .kl-status::before { content: ''; width: 8px; height: 8px; border-radius: 50%; background: currentColor; }
.kl .kl-status[data-status=finished] { color: var(--kl-ok); }
.kl .kl-status[data-status=running] { color: var(--kl-accent); }
.kl .kl-status[data-status=starting], .kl .kl-status[data-status=cancelled] { color: var(--kl-idle); }
.kl .kl-status[data-status=awaiting] { color: var(--kl-warn); }
.kl .kl-status:is([data-status=error], [data-status=timeout], [data-status=lost]) { color: var(--kl-bad); }
.kl .kl-visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) {
  .kl .kl-status:is([data-status=running])::before { animation: kl-pulse 1.6s ease-in-out infinite; }
  @keyframes kl-pulse { 50% { opacity: .35; } }
}
`;

/** `light` or `dark` where the host says so; else null, and the system decides. */
export function hostTheme(element: Element): 'light' | 'dark' | null {
  const lab = document.body.dataset['jpThemeLight'];
  if (lab !== undefined) return lab === 'false' ? 'dark' : 'light';
  const panel = document.documentElement.dataset['theme'] ?? document.body.dataset['theme'];
  if (panel === 'dark' || panel === 'light') return panel;
  const background = getComputedStyle(element).getPropertyValue('--panel-background-color').trim();
  if (background) return luminance(background) < 0.4 ? 'dark' : 'light';
  return null;
}

function luminance(colour: string): number {
  const context = document.createElement('canvas').getContext('2d');
  if (!context) return 1;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r = 255, g = 255, b = 255] = context.getImageData(0, 0, 1, 1).data;
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}

/**
 * The root of a view in a host's element: it carries the style sheet (a shadow root has none of the page's)
 * and follows the host's theme. It leaves with the signal.
 */
export function root(element: Element, css: string, signal: AbortSignal): HTMLElement {
  const made = h('div', { class: 'kl' });
  element.append(h('style', { text: VARIABLES + css }), made);
  const styled = element.lastElementChild?.previousElementSibling;
  const follow = (): void => {
    const theme = hostTheme(element);
    if (theme) made.dataset['theme'] = theme;
    else delete made.dataset['theme'];
  };
  follow();
  const observer = new MutationObserver(follow);
  const attributes = { attributes: true, attributeFilter: ['data-jp-theme-light', 'data-theme', 'class', 'style'] };
  observer.observe(document.body, attributes);
  observer.observe(document.documentElement, attributes);
  signal.addEventListener(
    'abort',
    () => {
      observer.disconnect();
      made.remove();
      styled?.remove();
    },
    { once: true },
  );
  return made;
}
