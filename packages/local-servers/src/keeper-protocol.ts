// What a starter and its keeper say to each other, one JSON object a line. Each request is answered once, under its id.

export interface RunRequest {
  readonly type: 'run'
  readonly id: number
  /** The server's own folder inside the keeper's: working directory, log and process record. */
  readonly folder: string
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
  /** Asks the server to end when the keeper ends. */
  readonly endSignal: NodeJS.Signals
}

interface SignalRequest {
  readonly type: 'signal'
  readonly id: number
  readonly pid: number
  readonly signal: NodeJS.Signals
}

/** Names what we make on a server that is not ours, to be deleted when the keeper ends. */
export interface BorrowRequest {
  readonly type: 'borrow'
  readonly id: number
  /** Keys whose names hold `name`, or the schema of that name. */
  readonly what: 'redis keys' | 'postgres schema'
  readonly url: string
  readonly name: string
}

/** Says that it is deleted already. */
interface GiveBackRequest {
  readonly type: 'give back'
  readonly id: number
  readonly name: string
}

export type KeeperRequest = RunRequest | SignalRequest | BorrowRequest | GiveBackRequest

export type KeeperAnswer =
  /** `pid` of the process that a run request started. */
  | { readonly type: 'done'; readonly id: number; readonly pid?: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }

export type KeeperEvent =
  | KeeperAnswer
  | { readonly type: 'ready'; readonly folder: string }
  | {
      readonly type: 'exit'
      readonly pid: number
      readonly code: number | null
      readonly signal: NodeJS.Signals | null
    }
