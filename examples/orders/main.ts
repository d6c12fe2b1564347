import { connect } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { OrderRefused, orders } from './orders.ts'

await using server = await startRedis()
await using log = await connect(server.options, {
  namespace: `${server.namespacePrefix}orders`,
  collections: [orders],
})

await log.decide(orders, 'o-1', { do: 'place', customer: 'Ada', totalCents: 900 })
await log.decide(orders, 'o-1', { do: 'pay', cents: 900 }, { idempotencyKey: 'payment-77' })
// The same payment reported twice is one payment.
const again = await log.decide(orders, 'o-1', { do: 'pay', cents: 900 }, { idempotencyKey: 'payment-77' })
console.log(`paid again: ${again.duplicate ? 'the first result' : 'a second payment'}`)

// The warehouse ships while the customer cancels: one of them comes first, the other is decided on what it finds.
const settled = await Promise.allSettled([
  log.decide(orders, 'o-1', { do: 'ship', parcel: 'p-1' }),
  log.decide(orders, 'o-1', { do: 'cancel', reason: 'changed my mind' }),
])
const refusals = settled.flatMap((outcome) =>
  outcome.status === 'rejected' ? [outcome.reason as Error] : [],
)
console.log(`refused: ${refusals.filter((reason) => reason instanceof OrderRefused).length}`)

for await (const { version, value } of log.history(orders, 'o-1')) {
  console.log(`${version} ${value?.type}`)
}
