// Texts that flows and services write, Markdown or HTML: untrusted, cleaned here, once, where they are shown.

import DOMPurify from 'dompurify';
import { marked } from 'marked';
import { h } from './dom.ts';

/** Nothing that takes input, loads pages or paints over the rest of the page. */
const RULES = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ['style', 'form', 'input', 'button', 'select', 'textarea', 'dialog'],
  FORBID_ATTR: ['style', 'id', 'name', 'class'],
  RETURN_DOM_FRAGMENT: true,
} as const;

export function html(text: string): HTMLElement {
  const made = h('div', { class: 'kl-prose' });
  made.append(DOMPurify.sanitize(text, { ...RULES, FORBID_TAGS: [...RULES.FORBID_TAGS], FORBID_ATTR: [...RULES.FORBID_ATTR] }));
  for (const link of made.querySelectorAll('a[href]')) {
    link.setAttribute('target', '_blank');
    link.setAttribute('rel', 'noopener noreferrer');
  }
  return made;
}

export function markdown(text: string): HTMLElement {
  return html(marked.parse(text, { async: false, gfm: true }));
}

export const PROSE_CSS = `
.kl .kl-prose { overflow-wrap: anywhere; }
.kl .kl-prose > :first-child { margin-block-start: 0; }
.kl .kl-prose > :last-child { margin-block-end: 0; }
.kl .kl-prose :is(h1, h2, h3, h4) { margin: .8em 0 .3em; line-height: 1.25; }
.kl .kl-prose h1 { font-size: 1.5em; }
.kl .kl-prose h2 { font-size: 1.3em; }
.kl .kl-prose h3 { font-size: 1.15em; }
.kl .kl-prose :is(p, ul, ol, pre, table, blockquote) { margin: .5em 0; }
.kl .kl-prose :is(ul, ol) { padding-inline-start: 1.6em; }
.kl .kl-prose pre { overflow: auto; padding: 8px 10px; background: var(--kl-bg2); border-radius: 4px; }
.kl .kl-prose code { font-family: var(--kl-mono); font-size: .92em; }
.kl .kl-prose table { display: block; overflow: auto; border-collapse: collapse; }
.kl .kl-prose :is(th, td) { border: 1px solid var(--kl-border); padding: 3px 8px; text-align: start; }
.kl .kl-prose blockquote { border-inline-start: 3px solid var(--kl-border); padding-inline-start: 10px; color: var(--kl-fg2); }
.kl .kl-prose img { max-width: 100%; height: auto; }
`;
