import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const sockets: Socket[] = []
subscribe('net.client.socket', (message) => {
  sockets.push((message as { socket: Socket }).socket)
})

/** What this process has sent and received over all its client sockets. */
export function socketBytes(): number {
  return sockets.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0)
}
