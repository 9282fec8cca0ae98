/** Text that is already HTML. Only {@link html} makes it, so that nothing gets in unescaped. */
export class Markup {
  readonly source: string
  constructor(source: string) {
    this.source = source
  }
}

export type Content = string | number | Markup | undefined | false | readonly Content[]

/**
 * Builds HTML or SVG from a template. Strings and numbers are escaped, {@link Markup} goes in as it is, lists are
 * joined without a separator, `undefined` and `false` give nothing.
 */
export function html(literals: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let source = literals[0]
  for (const [i, value] of values.entries()) source += render(value) + literals[i + 1]
  return new Markup(source)
}

function render(value: Content): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Markup) return value.source
  if (typeof value === 'object') return value.map(render).join('')
  return escapeText(String(value))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Escapes text for content and quoted attributes; control characters, which HTML forbids, become U+FFFD. */
export function escapeText(text: string): string {
  return (
    text
      .replace(/[&<>"']/g, (character) => ENTITIES[character])
      // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '\ufffd')
  )
}
