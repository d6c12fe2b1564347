// Writes docs/errors.md from the codes of @headwater/core. With --check it writes nothing and fails when it is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCodes } from '../packages/core/src/errors/error-codes.ts'
import { root } from './workspace-packages.ts'

const file = join(root, 'docs/errors.md')
const text = page()

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    console.error('docs/errors.md is stale: run `pnpm generate`.')
    process.exitCode = 1
  }
} else {
  writeFileSync(file, text)
}

function page(): string {
  const sections = Object.entries(errorCodes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { means, remedy, retryable }]) => {
      const again = retryable
        ? 'The same call can succeed later, unchanged.'
        : 'Repeating it changes nothing.'
      return `## ${code}\n\n${means}\n\n**What to do:** ${remedy} ${again}\n`
    })
  return `<!-- Generated from packages/core/src/errors/error-codes.ts by \`pnpm generate\`: do not edit. -->

# Errors

Everything that Headwater throws on purpose is a \`HeadwaterError\` with a \`code\`, and the code stands at the end of its message.
Compare codes (\`isHeadwaterError(error, 'VERSION_CONFLICT')\`), never texts.

${sections.join('\n')}`
}
