// Long lists: the events of a run as rows (ListModel), drawn as far as they are seen (VirtualList).

export { ListModel, PAGE, matcher } from './listmodel.ts';
export { LIST_CSS, type ListOptions, VirtualList, selectionIn } from './virtuallist.ts';
export type { Tail } from './tail.ts';
