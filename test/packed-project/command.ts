// What a user's shell does: the installed command, with a config in TypeScript beside it.
import { match, strictEqual } from 'node:assert'
import { spawnSync } from 'node:child_process'

const { NAMESPACE: namespace = '' } = process.env
const append = (value: object): { status: number | null; stdout: string } =>
  spawnSync(
    'npx',
    [
      '--no-install',
      'headwater',
      'append',
      'products',
      JSON.stringify(value),
      '--namespace',
      namespace,
      '--json',
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )

const put = append({ sku: 'desk', name: 'Desk' })
strictEqual(put.status, 0)
match(put.stdout, /"key":"desk","version":"1"/)
const misfit = append({ sku: 'desk' })
strictEqual(misfit.status, 1)
match(misfit.stdout, /"code":"VALUE_INVALID"/)
