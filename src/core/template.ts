// Templates: `{name}` in a prefix, a tag or a key. Only names of a closed list are replaced; there is no nesting and no logic,
// so what a file is called can never change what a template does.

/** What is said of a file: in tags and keys. */
export const fileTemplates = [
  'ext',
  'stem',
  'name',
  'path',
  'dir',
  'dir:1',
  'dir:2',
  'dir:3',
  'host',
  'folder',
  'mtime:yyyy',
  'mtime:MM',
  'mtime:dd',
  'mtime:HH',
] as const;
export type FileTemplate = (typeof fileTemplates)[number];

const templatePattern = /\{([^{}]*)\}/g;

/** What is wrong with the templates in a text, as a predicate (`has {x} in it …`), or undefined. */
export function templateProblem(text: string, known: readonly string[]): string | undefined {
  const list = known.map((template) => `{${template}}`).join(', ');
  for (const [whole, template] of text.matchAll(templatePattern)) {
    if (!known.includes(template ?? '')) return `has ${whole} in it, which is not known; known are ${list}`;
  }
  return /[{}]/.test(text.replaceAll(templatePattern, ''))
    ? `has a brace without its pair; known templates are ${list}`
    : undefined;
}

/**
 * The text with every known template replaced, in one pass: what a value holds is not looked at again. Braces around
 * anything else stay as they are.
 */
export function fillTemplate<Template extends string>(
  text: string,
  known: readonly Template[],
  valueOf: (template: Template) => string,
): string {
  return text.replaceAll(templatePattern, (whole, name: string) => {
    const template = known.find((candidate) => candidate === name);
    return template === undefined ? whole : valueOf(template);
  });
}
