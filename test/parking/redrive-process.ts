// A worker in a process of its own that kills itself when it is about to send a certain command, counted among those that
// have to do with parked keys or with the sink. Its only argument says what it runs.
import { notes } from '@headwater/conformance'
import { connect, startWorker } from '@headwater/core'
import { Redis, type RedisOptions } from 'ioredis'
import { writtenDown } from './written-down.ts'

export interface RedriveProcessOptions {
  readonly log: RedisOptions
  readonly namespace: string
  readonly group: string
  readonly prefix: string
  readonly leaseMs: number
  /** Before which of the commands it dies, from 1. */
  readonly dieBefore: number
}

const options = JSON.parse(process.argv[2]!) as RedriveProcessOptions

let commands = 0
// oxlint-disable-next-line typescript/unbound-method -- it is called with its own `this` below
const send = Redis.prototype.sendCommand
Redis.prototype.sendCommand = function (command, stream) {
  const text = command.args.map(String).join(' ')
  if (/:parked(?:-keys)?:/.test(text) || text.includes(`${options.prefix}:`)) commands++
  if (commands === options.dieBefore) process.kill(process.pid, 'SIGKILL')
  return send.call(this, command, stream)
}

process.on('disconnect', () => process.exit(1))
const log = await connect(options.log, { namespace: options.namespace, collections: [notes] })
await startWorker(log, {
  groups: { [options.group]: writtenDown(new Redis(options.log), options.prefix) },
  leaseMs: options.leaseMs,
})
