import type {
  ArchiveStore,
  ConnectOptions,
  Log,
  Logger,
  Node,
  RedisTarget,
  WorkerOptions,
} from '@headwater/core'
import type { StateCaptureOptions } from '@headwater/redis'

type CaptureConfig = Omit<StateCaptureOptions, 'onEvent'>

/** What `headwater upkeep` has opened, for `startUpkeep`. */
interface UpkeepSurroundings {
  readonly groups: WorkerOptions['groups']
  readonly archive: ArchiveStore | undefined
  /** Of this command: lines on stderr. */
  readonly logger: Logger
}

/** What a `headwater.config.ts` exports by default. Flags and environment variables win over it. */
export interface Config
  extends
    Partial<Omit<ConnectOptions, 'create' | 'credentials'>>,
    Omit<WorkerOptions, 'groups' | 'onEvent' | 'logger'> {
  /** Where the log lives. Default: `--redis`, else the environment variable `REDIS_URL`. */
  readonly redis?: RedisTarget
  /** What `headwater run` works for. A function is called by `run` alone, so that no other command opens the sinks' clients. */
  readonly groups?:
    | WorkerOptions['groups']
    | (() => WorkerOptions['groups'] | Promise<WorkerOptions['groups']>)
  /** What `headwater capture --mode state` brings into the log. */
  readonly capture?: CaptureConfig | (() => CaptureConfig | Promise<CaptureConfig>)
  /** What `headwater upkeep` keeps running: `(log, opened) => startUpkeep(log, { ...opened, client, tasks })`. */
  readonly upkeep?: (log: Log, opened: UpkeepSurroundings) => Promise<{ stop(): Promise<void> }>
  /** The nodes of each set that `headwater sync` brings together. Their weights and quorums are in the log: `nodeSets`. */
  readonly nodeSets?: Readonly<Record<string, () => readonly Node[] | Promise<readonly Node[]>>>
}

/** Gives the object back as it is; it is there for its types. */
export function defineConfig(config: Config): Config {
  return config
}
