/** Where a text stops being JSON, as far as its parser says. Not in the parser's own words: these quote the text. */
export function jsonFault(error: unknown): string {
  const { message } = error as SyntaxError
  const [, position] = / at position (\d+)/.exec(message) ?? []
  if (position !== undefined) return `it stops being JSON behind ${position} characters`
  return message.startsWith('Unexpected end ')
    ? 'it ends too early'
    : 'it does not begin as JSON does, or has a word that is none'
}
