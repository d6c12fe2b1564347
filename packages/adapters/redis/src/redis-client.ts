/**
 * What the sink uses of a client: an ioredis `Redis` or `Cluster`, 5.11 or later, with any protocol and reply mapping.
 * Everything is a script, and every reply of a script a list of byte strings, so no mapping changes them.
 */
export interface RedisClient {
  readonly isCluster: boolean
  readonly options: { readonly keyPrefix?: string | undefined }
  callBuffer(command: string, args: (string | Buffer | number)[]): Promise<unknown>
}
