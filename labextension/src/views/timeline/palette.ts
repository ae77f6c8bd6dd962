// Colours of the theme for what is drawn on a canvas. They are read from the style sheet, and again
// when the theme has changed.

import { h } from '../dom.ts';

export class Palette {
  private colours = new Map<string, string>();
  private readonly probe: HTMLElement;

  /** `names` are CSS variables; `changed` is called when one of them is another. */
  constructor(
    private readonly parent: HTMLElement,
    private readonly names: readonly string[],
    changed: () => void,
    signal: AbortSignal,
  ) {
    this.probe = h('span', { hidden: true });
    parent.append(this.probe);
    this.read();
    let later: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      const check = (): void => {
        if (!signal.aborted && this.read()) changed();
      };
      check();
      clearTimeout(later);
      // a theme's style sheet may come after the attribute that announces it
      later = setTimeout(check, 400);
    };
    const observer = new MutationObserver(look);
    const what = { attributes: true, attributeFilter: ['data-jp-theme-light', 'data-jp-theme-name', 'data-theme', 'class', 'style'] };
    for (const element of [document.documentElement, document.body, parent.closest('.kl')]) if (element) observer.observe(element, what);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', look, { signal });
    signal.addEventListener('abort', () => {
      observer.disconnect();
      clearTimeout(later);
      this.probe.remove();
    }, { once: true });
  }

  of(name: string): string {
    return this.colours.get(name) ?? '#888';
  }

  /** The font of canvas texts. */
  font(size: number, weight = 400): string {
    return `${weight} ${size}px ${getComputedStyle(this.parent).fontFamily || 'sans-serif'}`;
  }

  private read(): boolean {
    this.probe.hidden = false;
    let changed = false;
    for (const name of this.names) {
      this.probe.style.color = `var(${name})`;
      const colour = getComputedStyle(this.probe).color;
      changed ||= colour !== this.colours.get(name);
      this.colours.set(name, colour);
    }
    this.probe.hidden = true;
    return changed;
  }
}

/** A canvas' drawing context at the screen's own resolution, cleared; null where there is none. */
export function sharp(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1;
  const [w, t] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== t) {
    canvas.width = w;
    canvas.height = t;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
