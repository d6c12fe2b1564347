import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import type { ArchiveStore } from './archive-store.ts'

/**
 * An archive in a directory, made where it does not exist. Every piece is a file of its own. What the file system refuses
 * rejects with ARCHIVE_UNAVAILABLE.
 */
export function directoryArchive(directory: string): ArchiveStore {
  const root = resolve(directory)
  const name = `directory ${root}`
  const refused = (error: Error): never => {
    if (isHeadwaterError(error)) throw error
    throw new HeadwaterError('ARCHIVE_UNAVAILABLE', `The archive in ${name}: ${error.message}.`, {
      cause: error,
    })
  }
  const files = filesIn(root)
  return {
    name,
    read: (path, bytesMax) => files.read(path, bytesMax).catch(refused),
    write: (path, piece) => files.write(path, piece).catch(refused),
    list: (folder) => files.list(folder).catch(refused),
    remove: (path) => files.remove(path).catch(refused),
  }
}

function filesIn(root: string): Omit<ArchiveStore, 'name'> {
  return {
    async read(path, bytesMax) {
      const file = join(root, path)
      const found = await stat(file).catch(nothingThere)
      if (!found) return undefined
      // Before it is opened: a pipe in its place would be waited for for ever.
      const why = found.isFile()
        ? `has ${found.size} bytes, and none is larger than ${bytesMax}`
        : 'is no file'
      if (!found.isFile() || found.size > bytesMax)
        throw new HeadwaterError('ARCHIVE_DAMAGED', `${path} of the archive in directory ${root} ${why}.`)
      return await readFile(file).catch(nothingThere)
    },
    async write(path, piece) {
      const target = join(root, path)
      const folder = dirname(target)
      const made = await mkdir(folder, { recursive: true })
      const draft = `${target}.${randomBytes(6).toString('hex')}.unfinished`
      const file = await open(draft, 'wx')
      try {
        await file.writeFile(piece)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, target)
      // The name is kept in the folder, and new folders in the ones above them: these are written for good too.
      const top = made === undefined ? folder : dirname(made)
      for (let at = folder; ; at = dirname(at)) {
        await syncFolder(at)
        if (at === top) return
      }
    },
    async list(folder) {
      return (await readdir(join(root, folder)).catch(nothingThere)) ?? []
    },
    remove: (path) => rm(join(root, path), { force: true }),
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function nothingThere(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined
  throw error
}
