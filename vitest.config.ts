import { configDefaults, defineConfig } from 'vitest/config'

// Packages are tested from their sources. Naming one condition drops the defaults, so they stand here too.
const conditions = ['@headwater/source', 'module', 'node', 'development|production']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, 'test/large/**', 'test/soak/**'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
