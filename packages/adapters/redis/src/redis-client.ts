/**
 * What the sink uses of a client: an ioredis `Redis` or `Cluster`, 5.11 or later, with any protocol and reply mapping.
 * Everything is a script, and every reply of a script a list of texts, so no mapping changes them.
 */
export interface RedisClient {
  readonly isCluster: boolean
  readonly options: { readonly keyPrefix?: string | undefined; readonly db?: number | undefined }
  evalsha(digest: string, numberOfKeys: number, keysAndArguments: (string | Buffer)[]): Promise<unknown>
  eval(source: string, numberOfKeys: number, keysAndArguments: (string | Buffer)[]): Promise<unknown>
}
