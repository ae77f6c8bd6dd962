// Rows and columns to look at, whatever they come from: Arrow bytes (zstd-compressed, as Python writes
// them) or a list of flat JSON objects. Values stay where they are; a cell's text is made when it is drawn.

import { CompressionType, TimeUnit, Type, setCompressionCodec, tableFromIPC } from '@uwdata/flechette';
import { decompress } from 'fzstd';

export interface GridColumn {
  name: string;
  /** As a person calls it: `int64`, `text`, `list`. */
  type: string;
  numeric: boolean;
  at(row: number): unknown;
  /** A value as text; `exact` is for files and comparisons by eye. */
  text(value: unknown, exact: boolean): string;
}

export interface Grid {
  rows: number;
  columns: GridColumn[];
}

/** Larger tables than this are not unpacked in a browser. */
const MAX_BYTES = 512 * 2 ** 20;

setCompressionCodec(CompressionType.ZSTD, {
  encode: () => {
    throw new Error('nothing here writes zstd');
  },
  decode: (bytes: Uint8Array, length?: number) => {
    if (length === undefined) return decompress(bytes);
    if (!(length >= 0 && length <= MAX_BYTES)) throw new RangeError(`a column of ${length} bytes`);
    return decompress(bytes, new Uint8Array(length));
  },
});

interface ArrowType {
  typeId: number;
  bitWidth?: number;
  signed?: boolean;
  precision?: number;
  unit?: number;
  timezone?: string | null;
  dictionary?: ArrowType;
}

export function gridOfArrow(bytes: Uint8Array): Grid {
  const table = tableFromIPC(bytes, { useBigInt: true, useBigIntTimestamp: false });
  const columns = table.schema.fields.map(({ name, type }, i): GridColumn => {
    const column = table.getChildAt(i);
    const value = (type as ArrowType).dictionary ?? type;
    return { name: indexName(name), ...kindOf(value), at: (row): unknown => column.at(row) };
  });
  return { rows: table.numRows, columns };
}

/** pandas keeps its index as a column of this name. */
function indexName(name: string): string {
  return /^__index_level_\d+__$/.test(name) ? '' : name;
}

type Kind = Pick<GridColumn, 'type' | 'numeric' | 'text'>;

const PER_MS = { [TimeUnit.SECOND]: 0.001, [TimeUnit.MILLISECOND]: 1, [TimeUnit.MICROSECOND]: 1000, [TimeUnit.NANOSECOND]: 1e6 };

function kindOf(type: ArrowType): Kind {
  const perMs = PER_MS[(type.unit ?? TimeUnit.MILLISECOND) as keyof typeof PER_MS] || 1;
  switch (type.typeId) {
    case Type.Int: return { type: `${type.signed ? 'int' : 'uint'}${type.bitWidth ?? ''}`, numeric: true, text: plain };
    case Type.Float: return { type: `float${16 << (type.precision ?? 2)}`, numeric: true, text: float };
    case Type.Decimal: return { type: 'decimal', numeric: true, text: float };
    case Type.Bool: return { type: 'bool', numeric: false, text: plain };
    case Type.Utf8:
    case Type.LargeUtf8:
    case Type.Utf8View: return { type: 'text', numeric: false, text: plain };
    case Type.Date: return { type: 'date', numeric: false, text: (value) => moment(value, 0, 10) };
    case Type.Timestamp: {
      const zone = type.timezone ? 'Z' : '';
      return { type: type.timezone ? 'time (UTC)' : 'time', numeric: false, text: (value) => moment(value, 0, 23).replace(/\.000$/, '') + zone };
    }
    case Type.Time: return { type: 'time of day', numeric: false, text: (value) => moment(Number(value) / perMs, 11, 23).replace(/\.000$/, '') };
    case Type.Duration: return { type: 'duration', numeric: true, text: (value) => `${Number(value) / perMs / 1000} s` };
    case Type.Binary:
    case Type.LargeBinary:
    case Type.BinaryView:
    case Type.FixedSizeBinary: return { type: 'bytes', numeric: false, text: binary };
    case Type.Null: return { type: 'null', numeric: false, text: plain };
    default: return { type: type.typeId === Type.Struct || type.typeId === Type.Map ? 'object' : 'list', numeric: false, text: nested };
  }
}

function plain(value: unknown): string {
  return String(value);
}

/** Seven digits are what is looked at; a file has all of them. */
function float(value: unknown, exact: boolean): string {
  if (exact || typeof value !== 'number' || !Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toFixed(1);
  return String(Number(value.toPrecision(7)));
}

function moment(value: unknown, from: number, to: number): string {
  const date = new Date(Number(value));
  return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().slice(from, to).replace('T', ' ');
}

function binary(value: unknown, exact: boolean): string {
  if (!(value instanceof Uint8Array)) return String(value);
  if (!exact) return `${value.length} bytes`;
  let text = '';
  for (const byte of value) text += String.fromCharCode(byte);
  return btoa(text);
}

function nested(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'bigint') return Number.isSafeInteger(Number(one)) ? Number(one) : String(one);
    return ArrayBuffer.isView(one) ? Array.from(one as unknown as ArrayLike<unknown>) : one;
  });
}

/** A list of objects that are all flat and alike enough to be a table; else null. */
export function gridOfRecords(value: unknown): Grid | null {
  if (!Array.isArray(value) || value.length < 2) return null;
  const names = new Set<string>();
  for (const row of value as unknown[]) {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) return null;
    for (const [name, cell] of Object.entries(row)) {
      if (typeof cell === 'object' && cell !== null) return null;
      names.add(name);
    }
    if (names.size > 60) return null;
  }
  const records = value as Record<string, unknown>[];
  const columns = [...names].map((name): GridColumn => {
    const numeric = records.every((row) => row[name] === null || row[name] === undefined || typeof row[name] === 'number');
    return { name, type: numeric ? 'number' : 'text', numeric, at: (row) => records[row]![name] ?? null, text: plain };
  });
  return names.size > 0 && names.size * records.length <= 4 * records.reduce((sum, row) => sum + Object.keys(row).length, 0)
    ? { rows: records.length, columns }
    : null;
}

/** Places of the rows in order of a column, empty cells last either way. */
export function sorted(grid: Grid, column: GridColumn, descending: boolean): Uint32Array {
  const values = Array.from({ length: grid.rows }, (_, row) => column.at(row));
  const empty = (value: unknown): boolean => value === null || value === undefined || Number.isNaN(value);
  const sign = descending ? -1 : 1;
  return Uint32Array.from(values.keys()).sort((a, b) => {
    const [x, y] = [values[a], values[b]];
    if (empty(x) || empty(y)) return Number(empty(x)) - Number(empty(y)) || a - b;
    return sign * compared(x, y, column) || a - b;
  });
}

function compared(x: unknown, y: unknown, column: GridColumn): number {
  if ((typeof x === 'number' || typeof x === 'bigint' || typeof x === 'boolean') && typeof x === typeof y) return x < (y as typeof x) ? -1 : Number(x > (y as typeof x));
  const [a, b] = [column.text(x, true), column.text(y, true)];
  return a < b ? -1 : Number(a > b);
}

/** The whole grid as CSV, in pieces, so that no string holds it all. */
export function csv(grid: Grid): Blob {
  const parts = [line(grid.columns.map((column) => column.name))];
  let text = '';
  for (let row = 0; row < grid.rows; row++) {
    text += line(grid.columns.map((column) => {
      const value = column.at(row);
      return value === null || value === undefined ? '' : column.text(value, true);
    }));
    if (text.length < 2 ** 18) continue;
    parts.push(text);
    text = '';
  }
  return new Blob([...parts, text], { type: 'text/csv;charset=utf-8' });
}

function line(cells: string[]): string {
  return `${cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')}\r\n`;
}
