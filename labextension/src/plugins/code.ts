// Code that does in a notebook what was clicked.

import type { FlowInfo } from '../wire.ts';

interface Property {
  default?: unknown;
  type?: string;
}

/** Code that launches a flow; inputs that must be given have `...` in their place. */
export function launchCode(flow: Pick<FlowInfo, 'name' | 'schema'>, style: 'python' | 'magic' = 'python'): string {
  const properties = Object.entries((flow.schema['properties'] ?? {}) as Record<string, Property>);
  const required = new Set((flow.schema['required'] ?? []) as string[]);
  if (style === 'magic') {
    const given = properties.filter(([name]) => required.has(name)).map(([name]) => ` ${name}=…`);
    // without any input it would show the form
    return `%kodosumi launch ${flow.name}${given.join('') || (properties.length > 0 ? ' --defaults' : '')}`;
  }
  const shown = properties.filter(([name, property]) => required.has(name) || property.default !== undefined);
  const inputs = shown.map(([name, property]) => [name, required.has(name) ? '...' : python(property.default)] as const);
  const plain = inputs.every(([name]) => /^[A-Za-z_]\w*$/.test(name));
  const words = plain ? inputs.map(([name, value]) => `${name}=${value}`) : [`**{${inputs.map(([name, value]) => `${python(name)}: ${value}`).join(', ')}}`];
  const [open, close] = words.join(', ').length > 60 ? ['\n    ', ',\n'] : ['', ''];
  const body = open ? words.join(`,${open}`) : words.join(', ');
  return `import kodosumi_lab as kl\n\nrun = kl.find(${python(flow.name)}).launch(${open}${body}${close})\nrun`;
}

/** Code that shows a run. */
export function runCode(runId: string, style: 'python' | 'magic' = 'python'): string {
  return style === 'magic' ? `%kodosumi show ${runId}` : `import kodosumi_lab as kl\n\nrun = kl.run(${python(runId)})\nrun`;
}

/** A JSON value as Python writes it. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(', ')}}`;
}
