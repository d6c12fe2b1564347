import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const adapters = readdirSync(new URL('../../packages/adapters', import.meta.url))

describe('every adapter', () => {
  it.each(adapters)('runs the conformance kit: %s', (adapter) => {
    const test = new URL(`./${adapter}.test.ts`, import.meta.url)
    expect(existsSync(test), `test/conformance/${adapter}.test.ts`).toBe(true)
    expect(readFileSync(test, 'utf8')).toMatch(/\b(?:sink|eventSink)Conformance\(/)
  })
})
