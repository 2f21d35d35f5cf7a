// XML: answers are written by hand (fast, and the escaping is visible); request documents are read by
// fast-xml-parser into plain nodes.
import { XMLParser } from 'fast-xml-parser';
import { s3Error } from './errors.ts';

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';
const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

// Control characters are not allowed in XML 1.0 even as references, yet S3 sends `&#x1;` for a key that has
// one.
// oxlint-disable-next-line no-control-regex
const special = /[&<>"'\u0000-\u001f\u007f\ufffe\uffff]/g;
const named: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

function escapeXml(text: string): string {
  return text.replace(special, (char) => named[char] ?? `&#x${char.charCodeAt(0).toString(16)};`);
}

/** `<name>text</name>`, or nothing for an absent value. */
export function element(name: string, value: string | number | boolean | undefined): string {
  if (value === undefined) return '';
  return `<${name}>${typeof value === 'string' ? escapeXml(value) : value}</${name}>`;
}

export function group(name: string, ...children: string[]): string {
  return `<${name}>${children.join('')}</${name}>`;
}

export function document(root: string, ...children: string[]): string {
  return `${declaration}<${root} xmlns="${namespace}">${children.join('')}</${root}>`;
}

export function errorDocument(
  code: string,
  message: string,
  resource: string,
  requestId: string,
  details: Record<string, string>,
): string {
  const more = Object.entries(details).map(([name, value]) => element(name, value));
  const parts = [element('Code', code), element('Message', message), ...more];
  // Without the namespace, as S3 does it for errors.
  return (
    declaration + group('Error', ...parts, element('Resource', resource), element('RequestId', requestId))
  );
}

export type XmlNode = { readonly [name: string]: unknown };

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  trimValues: false,
  removeNSPrefix: true,
  alwaysCreateTextNode: true,
  isArray: () => true,
  htmlEntities: true,
  // 10,000 parts with quoted ETags, or 1,000 keys full of ampersands, are ordinary documents here.
  processEntities: { enabled: true, maxTotalExpansions: 10_000_000, maxExpandedLength: 100_000_000 },
});

/** The root element of a request document; anything else than `root` is MalformedXML. */
export function parseDocument(text: Buffer, root: string): XmlNode {
  let parsed: XmlNode;
  try {
    parsed = parser.parse(text.toString('utf8'), true) as XmlNode;
  } catch (cause) {
    throw s3Error('MalformedXML', `${s3Error('MalformedXML').message}: ${(cause as Error).message}`);
  }
  const node = children(parsed, root)[0];
  if (node === undefined) throw s3Error('MalformedXML', `Expected a ${root} document`);
  return node;
}

export function children(node: XmlNode, name: string): XmlNode[] {
  return (node[name] as XmlNode[] | undefined) ?? [];
}

export function text(node: XmlNode, name: string): string | undefined {
  const child = children(node, name)[0];
  return child === undefined ? undefined : ((child['#text'] as string | undefined) ?? '');
}

export function requiredText(node: XmlNode, name: string): string {
  const value = text(node, name);
  if (value === undefined) throw s3Error('MalformedXML', `Missing element ${name}`);
  return value;
}
