import { defineDecider, type Decider, type EventOf } from '@headwater/core'
import { z } from 'zod'

const events = {
  placed: z.object({ customer: z.string(), totalCents: z.int().positive() }),
  paid: z.object({ cents: z.int().positive() }),
  shipped: z.object({ parcel: z.string() }),
  cancelled: z.object({ reason: z.string(), refundCents: z.int() }),
}
export type OrderEvent = EventOf<typeof events>

export type OrderCommand =
  | { readonly do: 'place'; readonly customer: string; readonly totalCents: number }
  | { readonly do: 'pay'; readonly cents: number }
  | { readonly do: 'ship'; readonly parcel: string }
  | { readonly do: 'cancel'; readonly reason: string }

export interface Order {
  readonly status: 'none' | 'placed' | 'paid' | 'shipped' | 'cancelled'
  readonly customer?: string
  readonly totalCents: number
  readonly paidCents: number
  readonly parcel?: string
}

/** An order from its placing to its parcel: paid in parts if need be, cancelled as long as nothing was shipped. */
export const orders: Decider<Order, OrderCommand, OrderEvent> = defineDecider('orders', {
  events,
  initial: (): Order => ({ status: 'none', totalCents: 0, paidCents: 0 }),
  decide,
  evolve,
})

export class OrderRefused extends Error {}

function decide(command: OrderCommand, order: Order): readonly OrderEvent[] {
  const refuseUnless = (allowed: boolean): void => {
    if (!allowed) throw new OrderRefused(`An order that is ${order.status} cannot ${command.do}.`)
  }
  switch (command.do) {
    case 'place': {
      refuseUnless(order.status === 'none')
      const { customer, totalCents } = command
      return [{ type: 'placed', data: { customer, totalCents } }]
    }
    case 'pay': {
      refuseUnless(order.status === 'placed')
      // Never more than is owed: who pays at the same time as somebody else pays the rest.
      const cents = Math.min(command.cents, order.totalCents - order.paidCents)
      return [{ type: 'paid', data: { cents } }]
    }
    case 'ship':
      refuseUnless(order.status === 'paid')
      return [{ type: 'shipped', data: { parcel: command.parcel } }]
    case 'cancel':
      // Cancelling twice is no mistake: nothing happens.
      if (order.status === 'cancelled') return []
      refuseUnless(order.status === 'placed' || order.status === 'paid')
      return [{ type: 'cancelled', data: { reason: command.reason, refundCents: order.paidCents } }]
    default:
      return command satisfies never
  }
}

function evolve(order: Order, event: OrderEvent): Order {
  switch (event.type) {
    case 'placed':
      return { ...order, ...event.data, status: 'placed' }
    case 'paid': {
      const paidCents = order.paidCents + event.data.cents
      return { ...order, paidCents, status: paidCents === order.totalCents ? 'paid' : 'placed' }
    }
    case 'shipped':
      return { ...order, ...event.data, status: 'shipped' }
    case 'cancelled':
      return { ...order, status: 'cancelled' }
    default:
      return event satisfies never
  }
}
