// Compiled only: that the types of upkeep and of BullMQ fit together where a user installs them.
import { connect } from '@headwater/core'
import { startUpkeep } from '@headwater/upkeep'
import type { Queue } from 'bullmq'
import { Redis } from 'ioredis'

export async function trimsDaily(url: string): Promise<readonly Queue[]> {
  const log = await connect(url, { namespace: 'shop' })
  const { queues } = await startUpkeep(log, {
    client: new Redis(url),
    tasks: { trim: { cron: '0 3 * * *' } },
  })
  return queues
}
