/** Longer than any sentence of ours, and than the statements that some of them give. */
const charactersMax = 10_000

/**
 * A message without what nobody would read to its end: words of hundreds of characters, such as a name that cannot be one,
 * lose their middle; so does a message that is endless all the same.
 */
export function shortened(message: string): string {
  // First, because a word of millions of characters would be more than a regular expression has stack for.
  const text = message.length <= charactersMax ? message : cut(message, charactersMax - 1_000, 1_000)
  return text.length < 300 ? text : text.replaceAll(/\S{300,}/g, (word) => cut(word, 160, 40))
}

/** Not between the halves of a character. */
function cut(text: string, from: number, to: number): string {
  return `${text.slice(0, from).toWellFormed()}…${text.slice(-to).toWellFormed()}`
}
