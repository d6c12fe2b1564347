import { configDefaults, defineConfig } from 'vitest/config'

// Packages are tested from their sources. Naming one condition drops the defaults, so they stand here too, except 'module':
// what packages have there is for bundlers, and Node cannot load all of it.
const conditions = ['@headwater/source', 'node', 'development|production']

const everyday = {
  include: ['test/**/*.test.ts'],
  exclude: [...configDefaults.exclude, 'test/large/**', 'test/soak/**'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
}

/** `--mode large` and `--mode soak` run what takes too long for every day: test/large and test/soak. */
const unhurried = (mode: string) => ({
  include: [`test/${mode}/**/*.test.ts`],
  testTimeout: 60 * 60_000,
  hookTimeout: 60_000,
})

export default defineConfig(({ mode }) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: mode === 'test' ? everyday : unhurried(mode),
}))
