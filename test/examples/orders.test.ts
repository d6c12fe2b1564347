import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { connect, fakeLog, specification, type LogForApplications } from '@headwater/core'
import { startRedis } from '@headwater/local-servers'
import { describe, expect, it } from 'vitest'
import {
  OrderRefused,
  orders,
  type Order,
  type OrderCommand,
  type OrderEvent,
} from '../../examples/orders/orders.ts'

const placed: OrderEvent = { type: 'placed', data: { customer: 'Ada', totalCents: 900 } }
const paid = (cents: number): OrderEvent => ({ type: 'paid', data: { cents } })
const shipped: OrderEvent = { type: 'shipped', data: { parcel: 'p-1' } }
const order = specification(orders)
const refused = (error: unknown): void => expect(error).toBeInstanceOf(OrderRefused)

describe('an order', () => {
  // The claims of a specification throw by themselves.
  it.each<[claim: string, claims: () => void]>([
    [
      'is placed once',
      () => {
        order.when({ do: 'place', customer: 'Ada', totalCents: 900 }).thenEvents(placed)
        order.given(placed).when({ do: 'place', customer: 'Bob', totalCents: 1 }).thenThrows(refused)
      },
    ],
    [
      'is paid in parts, and never more than is owed',
      () => {
        order.given(placed, paid(500)).when({ do: 'pay', cents: 500 }).thenEvents(paid(400))
        order.given(placed, paid(900)).when({ do: 'pay', cents: 1 }).thenThrows(refused)
      },
    ],
    [
      'is shipped when it is paid',
      () => {
        order.given(placed, paid(500)).when({ do: 'ship', parcel: 'p-1' }).thenThrows(refused)
        order.given(placed, paid(900)).when({ do: 'ship', parcel: 'p-1' }).thenEvents(shipped)
      },
    ],
    [
      'is cancelled with its money back, unless it was shipped',
      () => {
        order
          .given(placed, paid(500))
          .when({ do: 'cancel', reason: 'late' })
          .thenEvents({ type: 'cancelled', data: { reason: 'late', refundCents: 500 } })
        order.given(placed, paid(900), shipped).when({ do: 'cancel', reason: 'late' }).thenThrows(refused)
      },
    ],
  ])('%s', (_, claims) => {
    expect(claims).not.toThrow()
  })
})

/** Fifty commands at once, of every kind, by two programs. */
const commands: readonly OrderCommand[] = Array.from({ length: 50 }, (_, index) => {
  if (index % 10 === 3) return { do: 'place', customer: `customer ${index}`, totalCents: 900 }
  if (index % 10 === 6) return { do: 'ship', parcel: `p-${index}` }
  if (index === 49) return { do: 'cancel', reason: 'late' }
  return { do: 'pay', cents: 100 }
})

/** Whether the rules allow an event after those before it. */
function follows(order: Order, event: OrderEvent): boolean {
  switch (event.type) {
    case 'placed':
      return order.status === 'none'
    case 'paid':
      return order.status === 'placed' && event.data.cents <= order.totalCents - order.paidCents
    case 'shipped':
      return order.status === 'paid'
    default:
      return ['placed', 'paid'].includes(order.status) && event.data.refundCents === order.paidCents
  }
}

async function consistent(logs: readonly LogForApplications[]): Promise<void> {
  const [log] = logs as [LogForApplications]
  await log.decide(orders, 'o-1', { do: 'place', customer: 'Ada', totalCents: 900 })
  const settled = await Promise.allSettled(
    commands.map((command, index) => logs[index % logs.length]!.decide(orders, 'o-1', command)),
  )
  for (const outcome of settled) if (outcome.status === 'rejected') refused(outcome.reason)

  let state: Order = orders.decides.initial()
  const versions: number[] = []
  for await (const { value, version } of log.history(orders, 'o-1')) {
    const event = value!
    expect(follows(state, event), `${event.type} of an order that is ${state.status}`).toBe(true)
    state = orders.decides.evolve(state, event)
    versions.push(Number(version))
  }
  expect(versions).toEqual(versions.map((_, index) => index + 1))
  expect((await log.get(orders, 'o-1'))?.value).toEqual(state)
  // As many events as commands that were answered with one.
  const happened = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value.events : []))
  expect(versions).toHaveLength(happened.length + 1)
}

describe('fifty concurrent commands on one order leave a consistent history', () => {
  it('in Redis', async () => {
    await using server = await startRedis()
    const options = { namespace: `${server.namespacePrefix}fifty-orders`, collections: [orders] }
    await using one = await connect(server.options, options)
    await using two = await connect(server.options, options)
    await expect(consistent([one, two])).resolves.toBeUndefined()
  })

  it('in the fake that applications test with', async () => {
    await expect(consistent([await fakeLog({ collections: [orders] })])).resolves.toBeUndefined()
  })
})

it('the example runs, and exactly one of shipping and cancelling is refused', async () => {
  const file = new URL('../../examples/orders/main.ts', import.meta.url).pathname
  const flags = ['--conditions=@headwater/source', '--import', 'tsx', file]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, complaints, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  expect({ complaints, exitCode }).toEqual({ complaints: '', exitCode: 0 })
  expect(output).toMatch(
    /^paid again: the first result\nrefused: 1\n1 placed\n2 paid\n3 (shipped|cancelled)\n$/,
  )
})
