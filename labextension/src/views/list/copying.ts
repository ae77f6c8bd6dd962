// Copying from a list of which only what is in sight exists: the text between the ends of the
// selection is taken from the model, however far apart they are.

import type { Event } from '../../sources/events.ts';
import { copy } from '../host.ts';
import type { ListModel } from './model.ts';
import { selectionIn } from './rows.ts';
import type { VirtualList } from './virtual.ts';
import { t } from '../words.ts';

/** More than this is for the download. */
export const MOST_COPIED = 20_000_000;

/** First and last row of the selection and what of them is selected, or null where it is not in the list. */
export function selectedRows(list: VirtualList): { from: number; to: number; head: string; tail: string } | null {
  const selection = selectionIn(list.element);
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return null;
  const range = selection.getRangeAt(0);
  const from = list.rowOf(range.startContainer);
  const to = list.rowOf(range.endContainer);
  if (from < 0 || to < 0) return null;
  const [first, last] = [textElement(list, range.startContainer), textElement(list, range.endContainer)];
  return { from, to, head: within(range, first), tail: within(range, last) };
}

function textElement(list: VirtualList, node: Node): Element {
  let row = node;
  while (row.parentNode && row.parentNode !== list.layer) row = row.parentNode;
  return (row as Element).querySelector('.kl-line-text') ?? (row as Element);
}

/** The selected text of one row. */
function within(range: Range, element: Element): string {
  if (range.comparePoint(element, 0) > 0 || range.comparePoint(element, element.childNodes.length) < 0) return '';
  const part = document.createRange();
  part.selectNodeContents(element);
  if (element.contains(range.startContainer)) part.setStart(range.startContainer, range.startOffset);
  if (element.contains(range.endContainer)) part.setEnd(range.endContainer, range.endOffset);
  return part.toString();
}

/** Text of rows `from` … `to`-1; `told` hears how far it is. */
export async function collect(
  model: ListModel,
  from: number,
  to: number,
  textOf: (event: Event) => string,
  signal: AbortSignal,
  told: (done: number) => void,
  most = Infinity,
): Promise<string[]> {
  const parts: string[] = [];
  let size = 0;
  for await (const event of model.read(from, to, signal)) {
    const text = textOf(event);
    parts.push(text);
    size += text.length + 1;
    if (size > most) throw new RangeError(t('this is too much to copy; download it'));
    if (parts.length % 1000 === 0) told(parts.length);
  }
  return parts;
}

/**
 * Answer the copy key: what is selected, without times and names, and with the rows that were
 * scrolled out of sight in between.
 */
export function copySelection(
  event: ClipboardEvent,
  list: VirtualList,
  model: ListModel,
  textOf: (event: Event) => string,
  later: (work: Promise<boolean>) => void,
  signal: AbortSignal,
): void {
  const found = (event.target as Element).closest('input, textarea') ? null : selectedRows(list);
  if (!found) return;
  event.preventDefault();
  const { from, to, head, tail } = found;
  const middle: string[] = [];
  let whole = true;
  for (let index = from + 1; index < to && whole; index++) {
    const row = model.at(index);
    if (row) middle.push(textOf(row));
    else whole = false;
  }
  if (whole) {
    event.clipboardData?.setData('text/plain', from === to ? head : [head, ...middle, tail].join('\n'));
    return;
  }
  later(
    collect(model, from + 1, to, textOf, signal, () => undefined, MOST_COPIED).then((lines) => copy([head, ...lines, tail].join('\n'))),
  );
}
