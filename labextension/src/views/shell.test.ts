import { afterEach, beforeEach, describe, expect, it, type Mock, vi } from 'vitest';
import { OPEN_RUN } from './host.ts';
import { mountShell, searchField, type Shell, type ShellHost } from './shell.ts';

let ending: AbortController;
let host: { [name in keyof ShellHost]: Mock<ShellHost[name]> };
let system: { matches: boolean };

function mounted(query = '?page=flows'): Shell {
  const keys: Record<string, [string, string]> = { r: ['?page=runs', 'Runs'], i: ['?page=inbox', 'Inbox'] };
  return mountShell(document.body, { query, keys }, ending.signal, host);
}

function press(key: string, more: KeyboardEventInit = {}, target: Element = document.body): void {
  target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true, cancelable: true, ...more }));
}

beforeEach(() => {
  ending = new AbortController();
  host = { went: vi.fn(), narrow: vi.fn(), dark: vi.fn(), entered: vi.fn() };
  system = { matches: false };
  const listening = { addEventListener: vi.fn(), removeEventListener: vi.fn() };
  vi.stubGlobal('matchMedia', (query: string) => ({ ...listening, matches: query.includes('dark') && system.matches }));
  history.replaceState(null, '', '/dashboard/');
  localStorage.clear();
});

afterEach(() => {
  ending.abort();
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

describe('the address', () => {
  it('says what is looked at from the start', () => {
    mounted('?page=runs&status=error');
    expect(location.search).toBe('?page=runs&status=error');
  });

  it('takes a step for another page, and none for a filter', () => {
    const shell = mounted();
    const before = history.length;
    shell.show('?page=runs');
    expect(history.length).toBe(before + 1);
    shell.show('?page=runs&q=x');
    expect(history.length).toBe(before + 1);
    expect(location.search).toBe('?page=runs&q=x');
    expect(host.went).not.toHaveBeenCalled();
  });

  it('goes where the browser goes', () => {
    mounted();
    history.replaceState(null, '', '?page=inbox');
    window.dispatchEvent(new PopStateEvent('popstate'));
    expect(host.went).toHaveBeenLastCalledWith('?page=inbox');
  });
});

describe('links', () => {
  function link(href: string, more: Record<string, string> = {}): HTMLAnchorElement {
    const outer = document.createElement('div');
    const made = document.createElement('a');
    made.setAttribute('href', href);
    for (const [name, value] of Object.entries(more)) made.setAttribute(name, value);
    outer.attachShadow({ mode: 'open' }).append(made);
    document.body.append(outer);
    return made;
  }

  function click(target: Element, more: MouseEventInit = {}): boolean {
    return target.dispatchEvent(new MouseEvent('click', { bubbles: true, composed: true, cancelable: true, ...more }));
  }

  it('of ours change the page without a reload, in shadow roots as well', () => {
    mounted();
    expect(click(link('?page=runs'))).toBe(false);
    expect(host.went).toHaveBeenCalledExactlyOnceWith('?page=runs');
  });

  it('of others, with a modifier, or for another tab are left to the browser', () => {
    mounted();
    // jsdom would follow them
    document.addEventListener('click', (event) => event.preventDefault(), { once: false, signal: ending.signal });
    for (const [one, more] of [
      [link('https://example.org/'), {}], [link('?page=runs'), { ctrlKey: true }], [link('?page=runs'), { button: 1 }],
      [link('?page=runs', { target: '_blank' }), {}], [link('?x=1'), {}],
    ] as [Element, MouseEventInit][]) click(one, more);
    expect(host.went).not.toHaveBeenCalled();
  });

  it('lead to a run when a view asks', () => {
    mounted();
    document.dispatchEvent(new CustomEvent(OPEN_RUN, { detail: 'a b' }));
    expect(host.went).toHaveBeenCalledExactlyOnceWith('?page=run&run=a%20b');
  });
});

describe('keys', () => {
  it('g and a letter lead to a page', () => {
    mounted();
    press('g');
    press('r');
    expect(host.went).toHaveBeenCalledExactlyOnceWith('?page=runs');
    press('r');
    expect(host.went).toHaveBeenCalledTimes(1);
  });

  it('mean nothing where text is written, but Ctrl+Enter does what it is for', () => {
    mounted();
    const field = document.createElement('textarea');
    document.body.append(field);
    press('g', {}, field);
    press('r', {}, field);
    expect(host.went).not.toHaveBeenCalled();
    press('Enter', { ctrlKey: true }, field);
    expect(host.entered).toHaveBeenCalledTimes(1);
    press('Enter', { ctrlKey: true });
    expect(host.entered).toHaveBeenCalledTimes(1);
  });

  it('end with the signal', () => {
    mounted();
    ending.abort();
    press('g');
    press('r');
    expect(host.went).not.toHaveBeenCalled();
  });
});

describe('title, icon, theme', () => {
  it('tell how many wait', () => {
    const icon = document.createElement('link');
    icon.rel = 'icon';
    icon.href = 'data:image/svg+xml,' + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg"></svg>');
    document.head.append(icon);
    const shell = mounted();
    shell.title('Runs', 3);
    expect(document.title).toBe('(3) Runs');
    expect(decodeURIComponent(icon.href)).toContain('<circle');
    shell.title('Runs', 0);
    expect(document.title).toBe('Runs');
    expect(decodeURIComponent(icon.href)).not.toContain('<circle');
    icon.remove();
  });

  it('a choice is kept, and what the system says is none', () => {
    const shell = mounted();
    shell.theme(false);
    expect(document.documentElement.dataset['theme']).toBe('light');
    shell.theme(true);
    expect(localStorage.getItem('kodosumi-lab-theme')).toBe('dark');
    expect(document.documentElement.dataset['theme']).toBe('dark');
    shell.theme(false);
    expect(localStorage.getItem('kodosumi-lab-theme')).toBeNull();
  });
});

it('finds the field to search with wherever it is', () => {
  const outer = document.createElement('div');
  const field = document.createElement('input');
  field.placeholder = 'Search runs';
  field.getClientRects = () => [{}] as unknown as DOMRectList;
  outer.attachShadow({ mode: 'open' }).append(field);
  document.body.append(outer);
  expect(searchField(document)).toBe(field);
});
