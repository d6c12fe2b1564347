import { configDefaults, defineConfig } from 'vitest/config'

// Packages are tested from their sources. Naming one condition drops the defaults, so they stand here too, except 'module':
// what packages have there is for bundlers, and Node cannot load all of it.
const conditions = ['@headwater/source', 'node', 'development|production']

const everyday = {
  include: ['test/**/*.test.ts'],
  exclude: [...configDefaults.exclude, 'test/large/**'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // Tests wait for servers more than they compute; by itself Vitest would run one file at a time on two cores.
  maxWorkers: 3,
}

/** `--mode large` runs what takes too long for every day: test/large. */
const unhurried = {
  include: ['test/large/**/*.test.ts'],
  testTimeout: 60 * 60_000,
  hookTimeout: 60_000,
}

export default defineConfig(({ mode }) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: mode === 'test' ? everyday : unhurried,
}))
