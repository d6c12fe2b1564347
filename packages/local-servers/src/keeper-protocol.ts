// What a starter and its keeper say to each other, one JSON object a line.

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

export interface SignalRequest {
  readonly type: 'signal'
  readonly pid: number
  readonly signal: NodeJS.Signals
}

export type KeeperRequest = RunRequest | SignalRequest

export type KeeperEvent =
  | { readonly type: 'ready'; readonly folder: string }
  | { readonly type: 'started'; readonly id: number; readonly pid: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
  | {
      readonly type: 'exit'
      readonly pid: number
      readonly code: number | null
      readonly signal: NodeJS.Signals | null
    }
