// What a page of the dashboard needs of its browser: the address, the title, keys, links without a reload, the theme.

import { fill, h } from './dom.ts';
import { OPEN_RUN } from './host.ts';

export interface ShellOptions {
  /** The address of what is looked at, from its question mark on. */
  query: string;
  /** Pages by the letter that leads there after `g`: their address and name. */
  keys: Record<string, [string, string]>;
}

export interface Shell {
  /** What is looked at has changed, but not from here. */
  show(query: string): void;
  /** The title, with how many wait for a person. */
  title(text: string, waiting: number): void;
  theme(dark: boolean): void;
}

export interface ShellHost {
  /** The person went somewhere, be it where they are: by a link, a key, or the browser's own buttons. */
  went(query: string): void;
  /** Ctrl+Enter where text is written: do what it is for. */
  entered(): void;
  /** Whether the page is as narrow as a phone. */
  narrow(is: boolean): void;
  /** Whether the person wants it dark: by an earlier choice, else as their system says. */
  dark(is: boolean): void;
}

export const SHELL_CSS = `
.kl-keys { border: 1px solid var(--kl-border); border-radius: 10px; padding: 18px 22px; color: var(--kl-fg); background: var(--kl-bg); max-width: 92vw; }
.kl-keys::backdrop { background: rgb(0 0 0 / .4); }
.kl-keys h2 { margin: 0 0 10px; font-size: 1.15em; }
.kl-keys dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 14px; margin: 0 0 14px; }
.kl-keys dt { font-family: var(--kl-mono); } .kl-keys dd { margin: 0; }
`;

export const THEME = 'kodosumi-lab-theme';
const NARROWER = 'kodosumi-lab-narrow';
const NARROW = '(max-width: 599px)';
const AFTER_G_MS = 1500;
const AGAIN = 'kodosumi-lab-again';
const ONCE_MS = 60_000;

export function mountShell(parent: HTMLElement, options: ShellOptions, signal: AbortSignal, host: ShellHost): Shell {
  let query = options.query;
  let chosenDark: boolean | null = null;

  const go = (next: string): void => {
    if (next !== query) remember(query, next);
    query = next;
    host.went(next);
  };

  followLinks(go, signal);
  document.addEventListener(
    OPEN_RUN,
    (event) => go(`?page=run&run=${encodeURIComponent((event as CustomEvent<string>).detail)}`),
    { signal },
  );
  mountKeys(parent, options.keys, go, signal);
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.defaultPrevented || !writes(event)) return;
      event.preventDefault();
      host.entered();
    },
    { signal },
  );

  window.addEventListener(
    'popstate',
    () => {
      query = location.search || '?';
      host.went(query);
    },
    { signal },
  );

  const narrow = matchMedia(NARROW);
  const measure = (): void => {
    document.cookie = `${NARROWER}=${narrow.matches ? '1' : '0'}; max-age=31536000; samesite=lax`;
    host.narrow(narrow.matches);
  };
  narrow.addEventListener('change', measure, { signal });
  measure();

  const system = matchMedia('(prefers-color-scheme: dark)');
  const wanted = (): boolean => {
    const kept = stored();
    return kept === null ? system.matches : kept === 'dark';
  };
  system.addEventListener('change', () => host.dark(wanted()), { signal });

  if (location.search !== query) history.replaceState(null, '', query);

  return {
    show(next) {
      if (next === query) return;
      remember(query, next);
      query = next;
    },
    title(text, waiting) {
      document.title = waiting > 0 ? `(${waiting}) ${text}` : text;
      mark(waiting > 0);
    },
    theme(dark) {
      if (chosenDark === null) {
        chosenDark = dark;
        paint(dark);
        // the server did not know; Panel's parts, which come one by one, would not all follow a change at this moment
        if (wanted() !== dark) comeAgain(wanted());
        return;
      }
      chosenDark = dark;
      paint(dark);
      keep(dark === system.matches ? null : dark ? 'dark' : 'light');
    },
  };
}

/** Links of ours change what is shown; with a modifier, or the middle button, they are links as any others. */
function followLinks(go: (query: string) => void, signal: AbortSignal): void {
  document.addEventListener(
    'click',
    (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      const link = event.composedPath().find((one): one is HTMLAnchorElement => one instanceof HTMLAnchorElement);
      const href = link?.getAttribute('href');
      if (!href?.startsWith('?page=') || link?.target) return;
      event.preventDefault();
      go(href);
    },
    { signal },
  );
}

function mountKeys(parent: HTMLElement, keys: Record<string, [string, string]>, go: (query: string) => void, signal: AbortSignal): void {
  const dialog = h('dialog', { class: 'kl-keys', 'aria-label': 'Keys' });
  parent.append(dialog);
  const names: [string, string][] = Object.entries(keys).map(([key, [, name]]) => [`g ${key}`, name]);
  const list = h('dl');
  for (const [key, name] of [...names, ['/', 'Search'], ['?', 'These keys']] as [string, string][]) {
    list.append(h('dt', { text: key }), h('dd', { text: name }));
  }
  const close = h('button', { class: 'kl-btn', text: 'Close', onclick: () => dialog.close() });
  fill(dialog, h('h2', { text: 'Keys' }), list, close);

  let afterG = -Infinity;
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || writes(event)) return;
      const led = performance.now() - afterG < AFTER_G_MS ? keys[event.key] : undefined;
      afterG = -Infinity;
      if (led) go(led[0]);
      else if (event.key === 'g') afterG = performance.now();
      else if (event.key === '/') searchField(document)?.focus();
      else if (event.key === '?') dialog.showModal();
      else return;
      event.preventDefault();
    },
    { signal },
  );
}

/** Another page is a step that one goes back from; a filter is not. */
function remember(before: string, after: string): void {
  const where = (query: string): string => {
    const told = new URLSearchParams(query);
    return `${told.get('page') ?? ''} ${told.get('run') ?? ''} ${told.get('chosen') ?? ''}`;
  };
  if (where(before) === where(after)) history.replaceState(null, '', after);
  else history.pushState(null, '', after);
}

function writes(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** The first field to search with, in shadow roots as well. */
export function searchField(from: Document | ShadowRoot | Element): HTMLElement | null {
  const found = from.querySelector<HTMLElement>('input[type=search], input[placeholder^=Search]');
  if (found && found.getClientRects().length > 0) return found;
  for (const element of from.querySelectorAll('*')) {
    const inner = element.shadowRoot && searchField(element.shadowRoot);
    if (inner) return inner;
  }
  return null;
}

function stored(): string | null {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null;
  }
}

function keep(theme: 'dark' | 'light' | null): void {
  try {
    if (theme === null) localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, theme);
  } catch {
    return; // a browser that keeps nothing shows what its system says
  }
}

function paint(dark: boolean): void {
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
  tellServer(dark);
}

/** Load the page anew as it is wanted; once, should the browser keep no cookie. */
function comeAgain(dark: boolean): void {
  tellServer(dark);
  try {
    if (Date.now() - Number(sessionStorage.getItem(AGAIN)) < ONCE_MS) return;
    sessionStorage.setItem(AGAIN, String(Date.now()));
  } catch {
    return;
  }
  location.reload();
}

/** Also as a cookie, so that the next page is served as it will be shown. */
function tellServer(dark: boolean): void {
  document.cookie = `${THEME}=${dark ? 'dark' : 'light'}; max-age=31536000; samesite=lax`;
}

const BADGE = '<circle cx="25" cy="7" r="6.5" fill="#e5484d" stroke="none"/>';
let plain: string | null = null;

/** A dot on the page's icon while somebody is waited for. */
function mark(on: boolean): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (!link) return;
  plain ??= decodeURIComponent(link.href.replace(/^data:image\/svg\+xml[^,]*,/, ''));
  if (!plain.startsWith('<svg')) return;
  link.href = 'data:image/svg+xml,' + encodeURIComponent(on ? plain.replace('</svg>', `${BADGE}</svg>`) : plain);
}
