// Long lists: the events of a run as rows (ListModel), drawn as far as they are seen (VirtualList).

export { ListModel, PAGE, type Tail, matcher } from './listmodel.ts';
export { selectionIn } from './rowpool.ts';
export { LIST_CSS, type ListOptions, VirtualList } from './virtuallist.ts';
