// Text as a terminal shows it: colours and styles (SGR), lines written over by carriage return,
// backspace and cursor moves. What comes out is plain data; nothing is ever read as HTML.

/** How a piece of text looks. Colours are 0 … 15 of the theme, or `r, g, b`. */
export interface Style {
  fg?: number | string;
  bg?: number | string;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
  strike?: boolean;
  inverse?: boolean;
}

export interface Segment {
  text: string;
  style: Style | null;
}

export type Line = Segment[];

interface Cell {
  char: string;
  style: Style | null;
}

/** Anything that makes a text more than its characters. */
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;
/** A sequence: CSI, OSC (ends with BEL or ST), or another escape; then single control characters. */
const SEQUENCE =
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  /(?:\u001b\[|\u009b)([0-?]*)[ -/]*([@-~])|(?:\u001b[\]PX^_]|\u009d)[\s\S]*?(?:\u0007|\u001b\\|\u009c|$)|\u001b[ -/]*[0-~]?|[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|\n/g;
const TAB = 8;

/** The lines of a text as a terminal would leave them. */
export function lines(text: string): Line[] {
  if (!CONTROL.test(text)) return text.split('\n').map(plain);
  const screen = new Screen();
  let from = 0;
  for (const match of text.matchAll(SEQUENCE)) {
    screen.write(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] !== undefined) screen.csi(match[1] ?? '', match[2]);
    else screen.control(match[0]);
  }
  screen.write(text.slice(from));
  return screen.lines();
}

/** The same without its looks. */
export function plainText(text: string): string {
  if (!CONTROL.test(text)) return text;
  return lines(text)
    .map((line) => line.map((segment) => segment.text).join(''))
    .join('\n');
}

function plain(text: string): Line {
  return text === '' ? [] : [{ text, style: null }];
}

class Screen {
  private rows: Cell[][] = [[]];
  private row = 0;
  private column = 0;
  private style: Style | null = null;

  write(text: string): void {
    if (text === '') return;
    const cells = this.rows[this.row]!;
    while (cells.length < this.column) cells.push({ char: ' ', style: null });
    for (const char of text) cells[this.column++] = { char, style: this.style };
  }

  control(sequence: string): void {
    if (sequence === '\n') {
      this.row++;
      this.column = 0;
      if (this.row === this.rows.length) this.rows.push([]);
    } else if (sequence === '\r') {
      this.column = 0;
    } else if (sequence === '\b') {
      this.column = Math.max(0, this.column - 1);
    } else if (sequence === '\t') {
      const to = (Math.floor(this.column / TAB) + 1) * TAB;
      const cells = this.rows[this.row]!;
      while (cells.length < to) cells.push({ char: ' ', style: null });
      this.column = to;
    }
  }

  csi(parameters: string, final: string): void {
    const first = Number(parameters.split(/[;:]/)[0]) || 0;
    const cells = this.rows[this.row]!;
    if (final === 'm') this.style = sgr(parameters, this.style);
    else if (final === 'A') this.row = Math.max(0, this.row - Math.max(1, first));
    else if (final === 'B') this.row = Math.min(this.rows.length - 1, this.row + Math.max(1, first));
    else if (final === 'C') this.column = Math.min(1000, this.column + Math.max(1, first));
    else if (final === 'D') this.column = Math.max(0, this.column - Math.max(1, first));
    else if (final === 'G') this.column = Math.min(1000, Math.max(0, first - 1));
    else if (final === 'K' && first === 0) cells.length = Math.min(cells.length, this.column);
    else if (final === 'K' && first === 2) this.rows[this.row] = [];
    else if (final === 'K') for (let i = 0; i <= this.column && i < cells.length; i++) cells[i] = { char: ' ', style: null };
  }

  lines(): Line[] {
    return this.rows.map((cells) => {
      const line: Line = [];
      for (const { char, style } of cells) {
        const last = line.at(-1);
        if (last?.style === style) last.text += char;
        else line.push({ text: char, style });
      }
      return line;
    });
  }
}

const ON: Record<number, keyof Style> = { 1: 'bold', 2: 'dim', 3: 'italic', 4: 'underline', 7: 'inverse', 9: 'strike' };
const OFF: Record<number, (keyof Style)[]> = {
  22: ['bold', 'dim'], 23: ['italic'], 24: ['underline'], 27: ['inverse'], 29: ['strike'], 39: ['fg'], 49: ['bg'],
};

/** The style after an SGR sequence; null is a terminal's own. */
function sgr(parameters: string, before: Style | null): Style | null {
  const codes = parameters.split(/[;:]/).map((part) => Number(part) || 0);
  let style: Style = { ...before };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    const on = ON[code];
    if (code === 0) style = {};
    else if (on) style = { ...style, [on]: true };
    else if (OFF[code]) for (const name of OFF[code]) style = { ...style, [name]: undefined };
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 90 && code <= 97) style.fg = code - 90 + 8;
    else if (code >= 100 && code <= 107) style.bg = code - 100 + 8;
    else if (code === 38 || code === 48) {
      const side = code === 38 ? 'fg' : 'bg';
      if (codes[i + 1] === 5) {
        style[side] = indexed(codes[i + 2] ?? 0);
        i += 2;
      } else if (codes[i + 1] === 2) {
        // the form with colons may have a colour space first
        const skip = parameters.includes(':') && codes.length - i > 5 ? 3 : 2;
        style[side] = codes.slice(i + skip, i + skip + 3).map((n) => Math.min(255, n)).join(', ');
        i += skip + 2;
      }
    }
  }
  return Object.values(style).some((value) => value !== undefined) ? style : null;
}

function indexed(index: number): number | string {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (Math.min(255, index) - 232) * 10;
    return `${grey}, ${grey}, ${grey}`;
  }
  const level = (n: number): number => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map(level).join(', ');
}

/** A segment's element; true colours are drawn towards the text's own so that they can be read in either theme. */
export function styled(style: Style): HTMLElement {
  const element = document.createElement('span');
  let { fg, bg } = style;
  if (style.inverse) [fg, bg] = [bg ?? 'bg', fg ?? 'fg'];
  else if (bg !== undefined) fg = onto(bg, fg);
  if (fg !== undefined) {
    const alone = bg === undefined && typeof fg === 'string' && fg.includes(',');
    element.style.color = alone ? `color-mix(in oklab, rgb(${fg}) 78%, var(--kl-fg))` : colour(fg);
  }
  if (bg !== undefined) element.style.backgroundColor = colour(bg);
  if (style.bold) element.style.fontWeight = '700';
  if (style.dim) element.style.opacity = '.72';
  if (style.italic) element.style.fontStyle = 'italic';
  const decoration = [style.underline && 'underline', style.strike && 'line-through'].filter(Boolean).join(' ');
  if (decoration) element.style.textDecoration = decoration;
  return element;
}

/** Black, grey and white, or nothing, on a colour: what can be read on it in this theme. */
function onto(bg: number | string, fg: number | string | undefined): number | string {
  const grey = fg === undefined || fg === 0 || fg === 7 || fg === 8 || fg === 15;
  if (typeof bg === 'number') return grey ? 'bg' : fg;
  if (fg !== undefined) return fg;
  const [r = 0, g = 0, b = 0] = bg.split(', ').map(Number);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 128 ? '0, 0, 0' : '255, 255, 255';
}

function colour(value: number | string): string {
  if (typeof value === 'number') return `var(--kl-ansi-${value})`;
  return value.includes(',') ? `rgb(${value})` : `var(--kl-${value})`;
}

export const ANSI_CSS = `
.kl {
  --kl-ansi-0: light-dark(#24292f, #6e7681); --kl-ansi-1: light-dark(#c0273a, #ff8a94);
  --kl-ansi-2: light-dark(#18774a, #58cf95); --kl-ansi-3: light-dark(#8f5a00, #f0b74a);
  --kl-ansi-4: light-dark(#1b63b5, #6cb2ff); --kl-ansi-5: light-dark(#8a3ab9, #d2a0f5);
  --kl-ansi-6: light-dark(#0b7285, #56d4dd); --kl-ansi-7: light-dark(#6e7781, #d0d7de);
  --kl-ansi-8: light-dark(#57606a, #8b949e); --kl-ansi-9: light-dark(#a40e26, #ffa8b0);
  --kl-ansi-10: light-dark(#0f6b3a, #8ce8b8); --kl-ansi-11: light-dark(#7a4a00, #ffd27f);
  --kl-ansi-12: light-dark(#0a4fa0, #9ccbff); --kl-ansi-13: light-dark(#6f2a9c, #e5c2ff);
  --kl-ansi-14: light-dark(#075a6a, #8eeaf0); --kl-ansi-15: light-dark(#3d444d, #ffffff);
}
`;
