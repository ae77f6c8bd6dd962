// A run or a flow, dragged out of a view: dropped into a notebook it is a cell with code, in an editor it is the code.

import type { ICodeCell } from '@jupyterlab/nbformat';
import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';

const CELLS = 'application/vnd.jupyter.cells';
/** Less is a click by a hand that is not quite still. */
const FAR_PX = 6;

/**
 * Let whatever below `node` carries a run's id or a flow's name be dragged. `codeOf` is asked when the drag starts;
 * it answers at once, or with null where there is nothing to drag.
 */
export function draggable(node: HTMLElement, codeOf: (element: HTMLElement) => string | null): void {
  node.addEventListener('pointerdown', (event) => {
    const element = (event.target as HTMLElement).closest<HTMLElement>('[data-run-id], [data-flow-name]');
    if (!element || event.button !== 0 || (event.target as HTMLElement).closest('input, select, textarea')) return;
    const over = new AbortController();
    const { clientX, clientY } = event;
    const options = { signal: over.signal, capture: true };
    document.addEventListener('pointermove', (move) => {
      if (Math.hypot(move.clientX - clientX, move.clientY - clientY) < FAR_PX) return;
      over.abort();
      const code = codeOf(element);
      if (code !== null) start(node, element, code, move);
    }, options);
    for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => over.abort(), options);
  });
}

function start(source: HTMLElement, element: HTMLElement, code: string, at: PointerEvent): void {
  const mimeData = new MimeData();
  const cell: ICodeCell = { cell_type: 'code', source: code, metadata: {}, outputs: [], execution_count: null };
  mimeData.setData(CELLS, [cell]);
  mimeData.setData('text/plain', code);
  const dragImage = document.createElement('div');
  dragImage.className = 'kl-lab-drag';
  dragImage.textContent = element.dataset['flowName'] ?? element.dataset['runId'] ?? '';
  const drag = new Drag({ mimeData, dragImage, proposedAction: 'copy', supportedActions: 'copy', source });
  // the click that would follow belongs to the drag
  document.addEventListener('click', (event) => event.stopPropagation(), { capture: true, once: true, signal: AbortSignal.timeout(1000) });
  void drag.start(at.clientX, at.clientY).then(() => drag.dispose());
}
