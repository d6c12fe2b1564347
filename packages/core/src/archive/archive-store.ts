/**
 * Where an archive lies: a few operations on named pieces, so that anything that keeps files can hold one. Paths are made of
 * letters, digits, "-", "_" and ".", with "/" between folders.
 */
export interface ArchiveStore {
  /** The technology and place, for messages. Never a secret. */
  readonly name: string
  /**
   * What is under a path; undefined where there is nothing. May reject where it has more bytes than these, which nobody
   * wants, so that they never take memory.
   */
  read(path: string, bytesMax: number): Promise<Uint8Array | undefined>
  /**
   * Puts a piece there, in place of what was. Resolves when it would survive the loss of power. Whoever reads meanwhile, or
   * after a crash at any moment, sees the old piece or the new one, whole.
   */
  write(path: string, piece: Uint8Array): Promise<void>
  /** Names of what is directly in a folder, in any order, also of what was never finished; none where there is no such folder. */
  list(folder: string): Promise<string[]>
  /** Without effect where there is nothing. */
  remove(path: string): Promise<void>
}
