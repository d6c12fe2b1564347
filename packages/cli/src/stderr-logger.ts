import type { Logger } from '@headwater/core'
import { printable, type Output } from './output.ts'

type Level = keyof Logger

/** A worker's log on stderr: readable lines, or JSON lines with `time`, `level` and `msg`. What may be told is core's to decide. */
export function stderrLogger(output: Output): Logger {
  const write = (level: Level, facts: object, msg: string): void => {
    const time = new Date().toISOString()
    if (output.json) return output.note(JSON.stringify({ time, level, msg, ...facts }))
    const details = detailsOf(facts).map(([name, value]) => `${name}=${readable(value)}`)
    output.note([time, level.padEnd(5), msg, ...details].join(' '))
  }
  return {
    info: (facts, message) => write('info', facts, message),
    warn: (facts, message) => write('warn', facts, message),
    error: (facts, message) => write('error', facts, message),
  }
}

/** What is inside of an object under its name: `error.code`. */
function detailsOf(facts: object): [name: string, value: unknown][] {
  return Object.entries(facts).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined) return []
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, value]]
    return detailsOf(value).map(([inner, of]) => [`${name}.${inner}`, of] as [string, unknown])
  })
}

function readable(value: unknown): string {
  return printable(typeof value === 'string' && !/[\s"]/.test(value) ? value : JSON.stringify(value))
}
