import { describe, expect, it } from 'vitest';
import type { Event } from '../../sources/events.ts';
import { lines, plainText, styled } from './ansi.ts';
import { drawLine, said, textOf } from './lines.ts';

const ESC = '\u001b';

describe('text as a terminal shows it', () => {
  it.each([
    ['plain', 'plain'],
    [`${ESC}[32mgreen${ESC}[0m.`, 'green.'],
    ['10%\r50%\r100%', '100%'],
    ['loading\rdone', 'doneing'],
    [`loading\r${ESC}[Kdone`, 'done'],
    [`a${ESC}[2Kb`, ' b'],
    ['abc\b\bX', 'aXc'],
    ['a\tb', 'a\tb'],
    ['one\r\ntwo', 'one\ntwo'],
    [`first\nsecond${ESC}[1A\rFIRST`, 'FIRST\nsecond'],
    [`${ESC}]8;;https://x.y${ESC}\\link${ESC}]8;;${ESC}\\`, 'link'],
    [`${ESC}]0;title\u0007text`, 'text'],
    [`${ESC}[?25lhidden cursor${ESC}[?25h`, 'hidden cursor'],
    [`${ESC}(Bcharset`, 'charset'],
    [`torn ${ESC}[`, 'torn '],
    [`torn ${ESC}]8;;http`, 'torn '],
    ['nul\u0000 bell\u0007', 'nul bell'],
    ['😀\rX', 'X'],
  ])('%j is %j', (text, shown) => {
    expect(plainText(text)).toBe(shown);
  });

  it.each([
    ['31', { fg: 1 }],
    ['1;92', { bold: true, fg: 10 }],
    ['48;5;196', { bg: '255, 0, 0' }],
    ['38;5;244', { fg: '128, 128, 128' }],
    ['38;5;3', { fg: 3 }],
    ['38;2;1;2;3', { fg: '1, 2, 3' }],
    ['38:2::1:2:3', { fg: '1, 2, 3' }],
    ['38:2:1:2:3', { fg: '1, 2, 3' }],
    ['3;4;7;2', { italic: true, underline: true, inverse: true, dim: true }],
    ['38;2;300;0;0', { fg: '255, 0, 0' }],
    ['31;39', null],
    ['1;31;0', null],
    ['', null],
  ])('SGR %s', (codes, style) => {
    expect(lines(`${ESC}[${codes}mx`)[0]![0]!.style).toEqual(style);
  });

  it('keeps a style over lines, until it is taken back', () => {
    const found = lines(`${ESC}[1mone\ntwo${ESC}[22m three`);
    expect(found.map((line) => line.map(({ text, style }) => [text, style?.bold ?? false]))).toEqual([
      [['one', true]],
      [['two', true], [' three', false]],
    ]);
  });

  it('takes colours of the theme, and something that can be read on a background', () => {
    expect(styled({ fg: 2 }).style.color).toBe('var(--kl-ansi-2)');
    expect(styled({ bg: 1, fg: 15 }).style.color).toBe('var(--kl-bg)');
    expect(styled({ bg: '250, 250, 210' }).style.color).toBe('rgb(0, 0, 0)');
    const inverse = styled({ inverse: true }).style;
    expect([inverse.color, inverse.backgroundColor]).toEqual(['var(--kl-bg)', 'var(--kl-fg)']);
  });

  it('reads a line of 100,000 progress updates in a moment', () => {
    const text = Array.from({ length: 100_000 }, (_, i) => `\r${i}`).join('');
    const begun = performance.now();
    expect(plainText(text)).toBe('99999');
    expect(performance.now() - begun).toBeLessThan(1500);
  });
});

describe('a console line', () => {
  const event = (kind: Event['kind'], payload: unknown, more: Partial<Event> = {}): Event =>
    ({ seq: 1, ts: 0, kind, agent: null, attempt: 1, payload: JSON.stringify(payload), ...more });
  const drawn = (one: Event, looks: Partial<Parameters<typeof drawLine>[2]> = {}): HTMLElement => {
    const row = document.createElement('div');
    drawLine(row, one, { times: false, mark: '', open: new Set(), more: () => undefined, ...looks });
    return row;
  };

  it('is text whatever it looks like', () => {
    const row = drawn(event('stdout', `<img src=x onerror=alert(1)> ${ESC}[31m<b>red</b>`));
    expect(row.querySelector('img, b')).toBeNull();
    expect(row.textContent).toContain('<b>red</b>');
  });

  it('marks what is looked for, across colours and in any case', () => {
    const row = drawn(event('stdout', `a Gr${ESC}[32meen house, green`), { mark: 'green' });
    expect([...row.querySelectorAll('mark')].map((mark) => mark.textContent)).toEqual(['Gr', 'een', 'green']);
  });

  it('has the level, logger, message and traceback of a log record', () => {
    const record = { level: 'ERROR', logger: 'app', message: 'bad', where: 'app.py:3', traceback: 'Traceback\n  x' };
    const one = event('log', record);
    expect(textOf(one)).toBe('ERROR app: bad\nTraceback\n  x');
    const row = drawn(one);
    expect([row.dataset['level'], row.title, said(one).lines.length]).toEqual(['ERROR', 'app.py:3', 3]);
  });

  it('shows so many lines, and all of them when asked', () => {
    const one = event('stdout', Array.from({ length: 100 }, (_, i) => `line ${i}`).join('\n'));
    const asked: Event[] = [];
    const row = drawn(one, { more: (which) => asked.push(which) });
    expect(row.querySelector('.kl-line-text')!.textContent.split('\n').length).toBe(40);
    row.querySelector('button')!.click();
    expect(asked).toEqual([one]);
    expect(drawn(one, { open: new Set([1]) }).querySelector('.kl-line-text')!.textContent.split('\n').length).toBe(100);
  });

  it('offers what is kept beside the log', () => {
    const row = drawn(event('stdout', { artifact: { sha256: 'ab', nbytes: 2_000_000 } }));
    expect(row.querySelector('button')!.textContent).toBe('load 1.9 MiB kept beside the log');
  });
});
