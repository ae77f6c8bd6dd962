// What was dropped or chosen, as files with their names: folders with everything in them.

export interface Named {
  file: File;
  /** With the folders that it came in. */
  name: string;
}

/** Files of an `<input type=file>`. */
export function chosen(input: HTMLInputElement): Named[] {
  return [...(input.files ?? [])].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
}

/** Files that were dropped. Its items have to be asked for at once: they are gone after the event. */
export async function dropped(transfer: DataTransfer): Promise<Named[]> {
  const entries = [...transfer.items].filter((item) => item.kind === 'file').map((item) => item.webkitGetAsEntry());
  if (entries.some((entry) => entry === null)) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found: Named[] = [];
  for (const entry of entries) await walk(entry!, '', found);
  return found;
}

async function walk(entry: FileSystemEntry, above: string, found: Named[]): Promise<void> {
  const name = above + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ file, name });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // a browser gives some at a time, and none once it has given all
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const one of some) await walk(one, `${name}/`, found);
  }
}

/** Those that end as an element wants it, and the names of the others. */
export function accepted(files: Named[], endings: readonly string[]): { taken: Named[]; refused: string[] } {
  if (endings.length === 0) return { taken: files, refused: [] };
  const fits = ({ name }: Named): boolean => endings.some((ending) => name.toLowerCase().endsWith(ending.toLowerCase()));
  return { taken: files.filter(fits), refused: files.filter((file) => !fits(file)).map((file) => file.name) };
}
