// The texts of the front end, as a catalogue of JupyterLab's: `npm run words -- kodosumi_lab.json` makes it or brings it
// up to date. What is not translated yet stands there in English, what is no longer said is left out.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const IN_PLACE = new Set(['t', 'later', 'trans.__', 'this.trans.__']);
const COUNTED = new Set(['tn', 'trans._n', 'this.trans._n']);

/** English texts by the key that they have in a catalogue: one form, or that for one and that for more. */
export function collect() {
  const found = new Map();
  const put = (...forms) => forms.every((form) => form !== undefined) && found.set(forms[0], forms);
  const visit = (node) => {
    if (ts.isCallExpression(node)) {
      const name = node.expression.getText();
      const [first, second] = node.arguments;
      if (IN_PLACE.has(name)) put(textOf(first));
      else if (COUNTED.has(name)) put(textOf(first), textOf(second));
      else if (name === 'plural' && textOf(second) !== undefined) put(`%1 ${textOf(second)}`, `%1 ${textOf(second)}s`);
      else if (name.endsWith('.map') && first?.getText() === 'later') node.expression.expression.elements.forEach((one) => put(textOf(one)));
    }
    ts.forEachChild(node, visit);
  };
  for (const path of readdirSync(join(HERE, 'src'), { recursive: true }).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))) {
    visit(ts.createSourceFile(path, readFileSync(join(HERE, 'src', path), 'utf8'), ts.ScriptTarget.Latest, true));
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function textOf(node) {
  return node !== undefined && (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) ? node.text : undefined;
}

function update(path) {
  const { '': head, ...before } = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const made = { '': head ?? { domain: 'kodosumi_lab', language: 'xx', plural_forms: 'nplurals=2; plural=(n != 1);' } };
  const texts = collect();
  for (const [key, english] of texts) made[key] = before[key] ?? english;
  writeFileSync(path, `${JSON.stringify(made, null, 1)}\n`);
  const same = [...texts].filter(([key, english]) => JSON.stringify(made[key]) === JSON.stringify(english)).length;
  console.log(`${path}: ${texts.size} texts, ${same} of them in English`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.length !== 3) throw new Error('name the catalogue: npm run words -- kodosumi_lab.json');
  update(process.argv[2]);
}
