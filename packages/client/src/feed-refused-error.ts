/** The server refused the feed for a reason that trying again does not mend. */
export class FeedRefusedError extends Error {
  readonly status: number
  /** As the server names it, such as `COLLECTION_UNKNOWN`; empty where it names none. */
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.name = 'FeedRefusedError'
    this.status = status
    this.code = code
  }
}
