// Texts that flows and services write, Markdown or HTML: untrusted, cleaned here, once, where they are shown.
// Each lies in a shadow root, so that its styles stay with it and the page's do not reach it.

import createDOMPurify, { type DOMPurify } from 'dompurify';
import { Marked } from 'marked';
import { h } from './dom.ts';

/** What takes input or loads pages; scripts are left out anyway. */
const FORBIDDEN = [
  'form', 'input', 'button', 'select', 'textarea', 'fieldset', 'dialog', 'iframe', 'object', 'embed', 'link', 'meta', 'base',
];
const FORBIDDEN_ATTRIBUTES = ['srcset', 'ping', 'contenteditable', 'autofocus', 'tabindex', 'accesskey', 'popover', 'background'];
/** Styles that would load something, or say so in a way that hides it. */
const LOADS = /@import|@font-face|url\s*\(|image-set|src\s*\(|\\/i;

let purifier: DOMPurify | null = null;

/** An instance of our own: hooks of DOMPurify hold for everybody who uses the same one. */
function purify(): DOMPurify {
  if (purifier) return purifier;
  const made = createDOMPurify(window);
  made.addHook('uponSanitizeElement', (node, { tagName }) => {
    if (tagName === 'style' && LOADS.test(node.textContent ?? '')) node.parentNode?.removeChild(node);
  });
  made.addHook('uponSanitizeAttribute', (node, data) => {
    const { attrName: name, attrValue: value } = data;
    if (name === 'style') data.keepAttr = !LOADS.test(value);
    else if (name === 'src' || name === 'poster') data.keepAttr = isForeign(value);
    else if (name === 'href' || name === 'xlink:href') data.keepAttr = node.localName === 'a' ? !value.startsWith('#') : isInside(value);
  });
  made.addHook('afterSanitizeAttributes', (node) => {
    if (node.localName === 'a') {
      node.setAttribute('target', '_blank');
      node.setAttribute('rel', 'noopener noreferrer');
    } else if (node.localName === 'img') {
      node.setAttribute('referrerpolicy', 'no-referrer');
      node.setAttribute('loading', 'lazy');
      if (!node.hasAttribute('alt')) node.setAttribute('alt', '');
    }
  });
  purifier = made;
  return made;
}

/** Pictures may come from elsewhere, but nothing is asked of the page's own server on behalf of a text. */
function isForeign(address: string): boolean {
  if (/^\s*data:/i.test(address)) return true;
  try {
    const url = new URL(address, location.href);
    return /^https?:$/.test(url.protocol) && url.origin !== location.origin;
  } catch {
    return false;
  }
}

function isInside(address: string): boolean {
  return address.startsWith('#') || /^\s*data:image\//i.test(address);
}

/** HTML, cleaned, as text: for libraries that take strings only. */
export function cleaned(text: string): string {
  return purify().sanitize(text, rules());
}

function rules(): { USE_PROFILES: Record<string, boolean>; FORBID_TAGS: string[]; FORBID_ATTR: string[]; FORCE_BODY: boolean } {
  return {
    USE_PROFILES: { html: true, svg: true, svgFilters: true, mathMl: true },
    FORBID_TAGS: FORBIDDEN,
    FORBID_ATTR: FORBIDDEN_ATTRIBUTES,
    FORCE_BODY: true, // a style sheet at the beginning belongs to the text
  };
}

export function html(text: string): HTMLElement {
  const made = h('div', { class: 'kl-prose' });
  const shadow = made.attachShadow({ mode: 'open' });
  shadow.append(h('style', { text: INNER }), purify().sanitize(text, { ...rules(), RETURN_DOM_FRAGMENT: true }));
  return made;
}

/** Whether cleaning has left something to look at; a figure that is all script is not. */
export function isEmpty(prose: HTMLElement): boolean {
  const shadow = prose.shadowRoot;
  if (!shadow || shadow.querySelector('img, svg, math, table, hr, audio, video, canvas, progress, meter')) return false;
  return [...shadow.children].every((child) => child.localName === 'style' || child.textContent.trim() === '') &&
    [...shadow.childNodes].every((node) => node.nodeType !== Node.TEXT_NODE || (node.textContent ?? '').trim() === '');
}

const marked = new Marked({
  gfm: true,
  renderer: { checkbox: ({ checked }) => (checked ? '☑ ' : '☐ ') },
});

export function markdown(text: string): HTMLElement {
  return html(marked.parse(text, { async: false }));
}

/** `contain` keeps whatever is positioned in a text within its own box. */
export const PROSE_CSS = `
.kl .kl-prose { display: block; position: relative; contain: layout paint style; overflow: auto hidden; max-width: 100%; overflow-wrap: anywhere; }
`;

const INNER = `
:host > :first-child, :host > style:first-child + * { margin-block-start: 0; }
:host > :last-child { margin-block-end: 0; }
* { box-sizing: border-box; }
h1, h2, h3, h4, h5, h6 { margin: .8em 0 .3em; line-height: 1.25; font-weight: 600; }
h1 { font-size: 1.45em; } h2 { font-size: 1.25em; } h3 { font-size: 1.1em; } h4, h5, h6 { font-size: 1em; }
p, ul, ol, pre, table, blockquote { margin: .5em 0; }
ul, ol { padding-inline-start: 1.6em; }
a { color: var(--kl-accent); }
a:focus-visible { outline: 2px solid var(--kl-accent); }
pre { overflow: auto; padding: 8px 10px; background: color-mix(in srgb, var(--kl-fg) 7%, var(--kl-bg)); border-radius: 4px; overflow-wrap: normal; }
code, pre, kbd, samp { font-family: var(--kl-mono); font-size: .92em; }
pre code { font-size: inherit; }
:not(pre) > code { background: color-mix(in srgb, var(--kl-fg) 7%, var(--kl-bg)); border-radius: 3px; padding: 1px 4px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--kl-border); padding: 3px 8px; text-align: start; overflow-wrap: normal; }
th { background: var(--kl-bg2); font-weight: 600; }
blockquote { border-inline-start: 3px solid var(--kl-border); margin-inline: 0; padding-inline-start: 10px; color: var(--kl-fg2); }
img, svg, video { max-width: 100%; height: auto; }
hr { border: 0; border-top: 1px solid var(--kl-border); }
`;
