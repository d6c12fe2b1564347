import { startProxy, type Address, type RequestMatcher, type TcpProxy } from '@headwater/local-servers'

/** The ways of one kind of client to all servers of a deployment, or to one sink: they break together, unless one is meant. */
export class Links implements AsyncDisposable {
  /** One for each server, in their order. */
  readonly proxies: readonly TcpProxy[]

  constructor(proxies: readonly TcpProxy[]) {
    this.proxies = proxies
  }

  static async start(servers: readonly Address[]): Promise<Links> {
    return new Links(await Promise.all(servers.map((server) => startProxy(server))))
  }

  cut(): void {
    for (const proxy of this.proxies) proxy.cut()
  }

  fallSilent(): void {
    for (const proxy of this.proxies) proxy.fallSilent()
  }

  halfClose(): void {
    for (const proxy of this.proxies) proxy.halfClose()
  }

  blackhole(): void {
    for (const proxy of this.proxies) proxy.blackhole()
  }

  delay(milliseconds: number): void {
    for (const proxy of this.proxies) proxy.delay(milliseconds)
  }

  chop(): void {
    for (const proxy of this.proxies) proxy.chop()
  }

  corruptReply(): void {
    for (const proxy of this.proxies) proxy.corruptReply()
  }

  refuse(): void {
    for (const proxy of this.proxies) proxy.refuse()
  }

  /** Settles when the reply was lost: of the first matching request from now on, to this server. */
  loseReply(request: RequestMatcher, server = 0): Promise<void> {
    return this.proxies[server]!.loseReply(request)
  }

  loseRequest(request: RequestMatcher, server = 0): Promise<void> {
    return this.proxies[server]!.loseRequest(request)
  }

  fallSilentAfter(request: RequestMatcher, server = 0): Promise<void> {
    return this.proxies[server]!.fallSilentAfter(request)
  }

  /** Lets everything through again. */
  async mend(): Promise<void> {
    for (const proxy of this.proxies) {
      proxy.heal()
      await proxy.accept()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()))
  }
}
