// What a user does who begins with `headwater init`: `npm run dev`, and `npm run append` beside it. The folder is an argument.
import { match, strictEqual } from 'node:assert'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

const [project] = process.argv.slice(2)
const url = `redis://127.0.0.1:${await freePort()}`
const dev = spawn('npm', ['run', 'dev', '--', '--port', new URL(url).port], { cwd: project, detached: true })
const told: string[] = []
dev.stdout.setEncoding('utf8').on('data', (text: string) => told.push(text))
const ready = new Promise<void>((resolve, reject) => {
  dev.stderr.setEncoding('utf8').on('data', (text: string) => {
    told.push(text)
    if (told.join('').includes('In another terminal')) resolve()
  })
  dev.once('exit', () => reject(new Error(`dev ended: ${told.join('')}`)))
})
try {
  await ready
  const env = { ...process.env, REDIS_URL: url }
  const append = spawnSync('npm', ['--silent', 'run', 'append'], { cwd: project, env, encoding: 'utf8' })
  strictEqual(append.status, 0, append.stderr)
  match(append.stdout, /^lamp is at version 1\nthe copy has \{"name":"Lamp"/)
  const verify = spawnSync('npm', ['--silent', 'run', 'verify'], { cwd: project, env, encoding: 'utf8' })
  strictEqual(verify.status, 0, verify.stderr)
} finally {
  // To all of its group, as Ctrl-C does: npm, its shell, and the command.
  process.kill(-dev.pid!, 'SIGINT')
  await once(dev, 'close')
}
match(told.join(''), /products\/lamp {2}1 {2}/)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
