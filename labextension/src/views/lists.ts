// Long lists: the events of a run as rows (ListModel), drawn as far as they are seen (VirtualList).

export { ListModel, PAGE, type Tail, matcher } from './list/model.ts';
export { selectionIn } from './list/rows.ts';
export { LIST_CSS, type ListOptions, VirtualList } from './list/virtual.ts';
