import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { OwnRedisServer } from '@headwater/local-servers'

/** Runs the redis-benchmark that came with a server against it, with every kind of write that it knows. */
export async function redisBenchmark(server: OwnRedisServer, requests: number): Promise<void> {
  const program = join(dirname(readlinkSync(`/proc/${server.pid}/exe`)), 'redis-benchmark')
  // Where it was unpacked and not installed, its libraries are beside it.
  const libraries = librariesBeside(program)
  const writes = 'set,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,mset'
  const args = [
    '-s',
    server.options.path!,
    '-n',
    String(requests),
    '-r',
    '10000',
    '-P',
    '8',
    '-t',
    writes,
    '-q',
  ]
  const benchmark = spawn(program, args, {
    stdio: 'ignore',
    env: { ...process.env, ...(libraries !== '' && { LD_LIBRARY_PATH: libraries }) },
  })
  const [exitCode] = (await once(benchmark, 'exit')) as [number | null]
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}.`)
}

function librariesBeside(program: string): string {
  const folder = join(dirname(program), '../lib')
  const names = readdirSync(folder).filter((name) => name.endsWith('-linux-gnu'))
  return names.map((name) => join(folder, name)).join(':')
}
