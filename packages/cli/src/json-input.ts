import { CliError } from './cli-error.ts'
import { jsonFault } from './json-fault.ts'
import { recordBytesMax } from './record-line.ts'

/** The JSON value of an argument, or of stdin for `-`. @throws CliError USAGE, which quotes nothing of it */
export async function jsonInput(argument: string): Promise<unknown> {
  const text = argument === '-' ? await textOfStdin() : argument
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CliError('USAGE', `The value is no JSON: ${jsonFault(error)}.`, { cause: error })
  }
}

async function textOfStdin(): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > recordBytesMax)
      throw new CliError('USAGE', `The value on stdin has more than ${recordBytesMax} bytes.`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    throw new CliError('USAGE', 'The value on stdin is no UTF-8.', { cause })
  }
}
