// Where a run was launched, as its `meta` says it: which notebook, which cell.

export interface Origin {
  /** Of the notebook, on the machine of its kernel. */
  path: string;
  cell: string;
  source_sha256: string;
}

/** The notebook and the cell that a run's meta names, or null. */
export function originOf(meta: Record<string, unknown>): Origin | null {
  const told = meta['notebook'] as Partial<Origin> | null | undefined;
  if (typeof told !== 'object' || told === null || typeof told.cell !== 'string' || typeof told.path !== 'string') return null;
  return { path: told.path, cell: told.cell, source_sha256: told.source_sha256 ?? '' };
}

/** A path as JupyterLab names it, below the folder that it shows; null where it lies elsewhere. `~` is somebody's home. */
export function serverPath(path: string, root: string): string | null {
  const plain = path.replaceAll('\\', '/');
  const folder = root.replace(/\/+$/, '');
  if (!folder.startsWith('~')) return plain.startsWith(`${folder}/`) ? plain.slice(folder.length + 1) : null;
  const tail = `${folder.slice(1)}/`;
  const at = plain.indexOf(tail);
  return at > 0 ? plain.slice(at + tail.length) : null;
}
