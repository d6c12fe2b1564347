/** The seed of random tests: `TEST_SEED` repeats a run that failed. Undefined lets each test choose. */
export const givenSeed: number | undefined =
  process.env['TEST_SEED'] === undefined ? undefined : Number(process.env['TEST_SEED'])
