// Elements made in one expression, and listeners that leave with a signal.

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, unknown>;

/**
 * An element with attributes and children. `class`, `text` and `on…` are what they say; true and
 * false set and leave out an attribute; anything else is an attribute's text.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on') && typeof value === 'function') {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (name === 'text') {
      element.textContent = text(value);
    } else {
      element.setAttribute(name, value === true ? '' : text(value));
    }
  }
  append(element, children);
  return element;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : String(value);
}

const SVG = 'http://www.w3.org/2000/svg';

/** The same for SVG. */
export function svg(tag: string, props: Props = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, text(value));
  }
  append(element, children);
  return element;
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === 'number' ? String(child) : child);
  }
}

/** Put these in place of whatever an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

/** Set a text only where it differs, so that a screen reader and a selection are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Call at the next frame, once, however often it was asked for; not after the signal. */
export function coalesced(draw: () => void, signal: AbortSignal): () => void {
  let asked = 0;
  signal.addEventListener('abort', () => cancelAnimationFrame(asked), { once: true });
  return () => {
    if (asked || signal.aborted) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      if (!signal.aborted) draw();
    });
  };
}

let counter = 0;

/** An id that no other element of the page has, for labels. */
export function uniqueId(prefix = 'kl'): string {
  return `${prefix}-${Date.now().toString(36)}-${(counter++).toString(36)}`;
}
