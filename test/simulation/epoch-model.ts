/** What a server's header says of the epoch in which it writes now. */
interface EpochNow {
  readonly epoch: number
  readonly sequence: number
  /** It is to be opened yet: the server is another one than the header knows. */
  readonly opens: boolean
}

const ofServer = 65_536

/** What `epoch.lua` does, once more. */
export function epochNow(header: ReadonlyMap<string, string>, serverId: string, nowMs: number): EpochNow {
  const [epoch, sequence] = [Number(header.get('epoch')), Number(header.get('sequence'))]
  if (serverId === header.get('replication-id')) return { epoch, sequence, opens: false }
  const opened = header.get(`epoch:${epoch}`)?.split(' ').at(-1)
  const lasted = opened === undefined ? 0 : Math.floor((nowMs - Number(opened)) / 1_000)
  return { epoch: epochAbove(epoch, lasted, serverId), sequence, opens: true }
}

function epochAbove(epoch: number, seconds: number, serverId: string): number {
  const earlier = Math.floor(epoch / ofServer)
  return (earlier + Math.max(1, seconds)) * ofServer + Number.parseInt(serverId.slice(0, 4), 16)
}

export function openEpoch(
  header: Map<string, string>,
  serverId: string,
  { epoch, sequence }: Pick<EpochNow, 'epoch' | 'sequence'>,
  nowMs: number,
): void {
  header.set('epoch', String(epoch))
  header.set('replication-id', serverId)
  header.set(`epoch:${epoch}`, `${sequence} ${serverId.slice(0, 12)} ${nowMs}`)
}
