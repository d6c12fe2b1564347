// A writing site in a process of its own that kills itself when it is about to send a certain command, counted among those
// that write to its node or its log. It also writes, as an application beside it would, and tells what was acknowledged.
import { connect, startSite } from '@headwater/core'
import { Redis, type RedisOptions } from 'ioredis'
import { booksCollection } from './books.ts'

export interface SiteProcessOptions {
  readonly own: RedisOptions
  readonly peer: RedisOptions
  readonly namespace: string
  readonly weights: Readonly<Record<string, number>>
  /** What it writes itself: so many keys that begin so. */
  readonly prefix: string
  readonly writes: number
  /** Before which of the commands it dies, from 1. */
  readonly dieBefore: number
}

const options = JSON.parse(process.argv[2]!) as SiteProcessOptions

let commands = 0
// oxlint-disable-next-line typescript/unbound-method -- it is called with its own `this` below
const send = Redis.prototype.sendCommand
Redis.prototype.sendCommand = function (command, stream) {
  const isWrite = command.name === 'evalsha' || command.name === 'eval' || command.name === 'hset'
  if (isWrite && /:site[:-]|:heads:/.test(command.args.map(String).join(' '))) commands++
  if (commands === options.dieBefore) process.kill(process.pid, 'SIGKILL')
  return send.call(this, command, stream)
}

process.on('disconnect', () => process.exit(1))
const { own, peer, namespace, weights, prefix, writes } = options
const books = booksCollection()
const eu = await connect(own, { namespace, collections: [books] })
const us = await connect(peer, { namespace, collections: [books] })
await startSite(eu, books, { name: 'eu', peers: { us }, weights, pollMs: 20 })
for (let at = 0; at < writes; at++) {
  const id = `${prefix}-${at}`
  await eu.append(books.put({ id, title: id }))
  process.send!(id)
}
