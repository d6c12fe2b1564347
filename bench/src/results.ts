import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem, release, type } from 'node:os'
import { dirname, join } from 'node:path'
import { drawLineChart } from './line-chart.ts'
import type { Answer, Bench, Question, Ratio } from './question.ts'
import { median } from './rounds.ts'

export interface Answered {
  readonly question: Question
  readonly answer: Answer
}

/** Of everything that was measured, by name, as it stands in the last line of stdout. */
export function medianRatios(answered: readonly Answered[]): Record<string, number> {
  return Object.fromEntries(
    answered.flatMap(({ answer }) =>
      answer.ratios.map(({ name, values }) => [name, rounded(median(values))]),
    ),
  )
}

/** A table for people. */
export function ratioTable(ratios: readonly Ratio[]): string {
  const rows = ratios.map((ratio) => {
    const { name, values } = ratio
    const spread = `${rounded(Math.min(...values))} to ${rounded(Math.max(...values))}`
    return [name, String(rounded(median(values))), spread, barText(ratio), verdict(ratio)]
  })
  const table = [['ratio', 'median', 'spread', 'wanted', ''], ...rows]
  const widths = table[0]!.map((_, column) => Math.max(3, ...table.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [
    line(table[0]!),
    `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`,
    ...rows.map(line),
  ].join('\n')
}

/**
 * Writes what was measured into the results file: the sections of other questions stay, and so do the notes that people
 * wrote at the end of a section, under `### Notes`.
 */
export function writeResults(
  file: string,
  bench: Bench,
  questions: readonly Question[],
  answered: readonly Answered[],
): void {
  const held = existsSync(file) ? sectionsOf(readFileSync(file, 'utf8')) : new Map<string, string>()
  for (const { question, answer } of answered) {
    const notes = /^### Notes\n[^]*/m.exec(held.get(question.name) ?? '')?.[0] ?? ''
    held.set(question.name, `${section(question, answer, bench)}${notes && `\n${notes.trimEnd()}\n`}`)
  }
  const sections = questions.flatMap(({ name }) => held.get(name) ?? [])
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, [preamble, ...sections].join('\n'))
  for (const chart of answered.flatMap(({ answer }) => answer.charts ?? [])) {
    mkdirSync(join(dirname(file), 'charts'), { recursive: true })
    writeFileSync(join(dirname(file), 'charts', `${chart.name}.svg`), drawLineChart(chart))
  }
}

const preamble = `# Results

Written by \`pnpm bench\`; the [README](README.md) says how it measures. Only what was measured in the same run is compared:
the ratios mean something, and carry over to other machines better than any figure would. "median" is that of the rounds,
"spread" their smallest and largest ratio, "wanted" where we want the ratio to be.
`

function section({ name, asks }: Question, answer: Answer, { rounds }: Bench): string {
  const { ratios, contenders, versions, charts = [], missing = {} } = answer
  const all = { Node: process.versions.node, ...versions }
  const where = [
    new Date().toISOString().slice(0, 10),
    `${rounds} rounds`,
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release()}`,
    ...Object.entries(all).map(([what, version]) => `${what} ${version}`),
  ]
  const lines = [
    `## ${name}`,
    '',
    asks,
    '',
    ratioTable(ratios),
    '',
    ...charts.map((chart) => `![${chart.title}](charts/${chart.name}.svg)\n`),
    ...contenders.map((contender) => `- ${contender}`),
    ...Object.entries(missing).map(([what, why]) => `- not measured: \`${what}\`, because ${why}`),
    '',
    `${where.join(', ')}.`,
    '',
  ]
  return lines.join('\n')
}

/** By the question's name. */
function sectionsOf(text: string): Map<string, string> {
  const sections = text.split(/^(?=## )/m).slice(1)
  return new Map(sections.map((section) => [/^## (.*)/.exec(section)?.[1] ?? '', section]))
}

function barText({ bar }: Ratio): string {
  if (bar === undefined) return ''
  return 'atLeast' in bar ? `≥ ${bar.atLeast}` : `≤ ${bar.atMost}`
}

function verdict({ bar, values }: Ratio): string {
  if (bar === undefined) return ''
  const middle = rounded(median(values))
  return ('atLeast' in bar ? middle >= bar.atLeast : middle <= bar.atMost) ? 'reached' : 'not reached'
}

/** Three significant digits: more would be noise. */
function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
