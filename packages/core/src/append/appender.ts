import type { AnyCollection } from '../collection/collection.ts'
import { checkNames } from '../errors/check-names.ts'
import { HeadwaterError, isHeadwaterError } from '../errors/headwater-error.ts'
import { quoted } from '../errors/quoted.ts'
import { durabilities, replicasRequired, type Durability } from '../namespace/durability.ts'
import { backoffMs, type Backoff } from '../redis/backoff.ts'
import { pause } from '../redis/persist.ts'
import type { AppendOrigin } from '../origin/append-from-origin.ts'
import type { AppendTelemetry } from '../telemetry/append-telemetry.ts'
import type { RecordReader } from '../state/record-reader.ts'
import type { StateRecord } from '../state/state-record.ts'
import type { AppendResult } from './append-result.ts'
import { batchChangesMax, parseStoredResult } from './append-script.ts'
import { batchSizeMax, resultsOf } from './batcher.ts'
import { encodeMetadata } from './change-metadata.ts'
import type {
  ChangeRequest,
  DeleteRequest,
  EventRequest,
  PatchRequest,
  PutRequest,
} from './change-request.ts'
import { encodeExpected, type Expected } from './expected.ts'
import { checkIdempotencyKey, idempotencyField } from './idempotency-key.ts'
import type { AppendTarget } from './lanes.ts'
import { preparePatch } from './patch.ts'
import {
  locate,
  prepareDelete,
  prepareEvent,
  preparePut,
  validate,
  type RoutedChange,
  type Router,
} from './prepare.ts'
import type { PreparedRequest } from './prepared.ts'
import { VersionConflictError } from './version-conflict-error.ts'

export interface AppendOptions {
  /** The version the key must have; default `any`. For a list: one for all, or one for each change. */
  readonly expected?: Expected | readonly Expected[]
  /** Makes retries safe also across processes: within the window, the same key of the same entity gives the first result. */
  readonly idempotencyKey?: string
  /** Texts that travel with the changes: who, why, a request id. At most 8 KiB as JSON. */
  readonly metadata?: Readonly<Record<string, string>>
  /** What the acknowledgement promises; default: what the namespace was created with. */
  readonly durability?: Durability
}

export interface AppenderOptions {
  readonly router: Router
  readonly state: RecordReader
  readonly target: AppendTarget
  /** Undefined where appends are not observed. */
  readonly telemetry?: AppendTelemetry
  /** Of the namespace: checked when it was opened. */
  readonly durability: Durability
  /** Rejects where the server cannot keep what an append asks for beyond that. Undefined where there is no server. */
  readonly checkDurability?: (durability: Durability) => Promise<void>
  readonly replicas: number
  readonly deadlineMs: number
  /** Throws where a collection was not given to connect(). */
  readonly checkCollection: (collection: AnyCollection) => void
}

const optionNames: Record<keyof AppendOptions, true> = {
  expected: true,
  idempotencyKey: true,
  metadata: true,
  durability: true,
}

const betweenPatches: Backoff = { firstMs: 2, maxMs: 100 }

/** The way of a change into the log: validated, encoded, routed, batched. */
export class Appender {
  readonly #options: AppenderOptions
  /** Appends between their call and their batcher, so that closing can wait for them. */
  readonly #preparing = new Set<Promise<unknown>>()
  /** Whether the server persists: asked for by the first append that needs it where the namespace does not. */
  #persists: boolean | Promise<void>

  constructor(options: AppenderOptions) {
    this.#options = options
    this.#persists = options.durability !== 'memory' || !options.checkDurability
  }

  append(request: ChangeRequest, options: AppendOptions): Promise<AppendResult>
  append(requests: readonly ChangeRequest[], options: AppendOptions): Promise<AppendResult[]>
  append(
    requests: ChangeRequest | readonly ChangeRequest[],
    options: AppendOptions,
  ): Promise<AppendResult | AppendResult[]> {
    try {
      const context = this.#context(options)
      // A misspelt expectation would be none, and the append overwrite what it was to respect.
      checkNames('append', options, optionNames)
      if (isList(requests)) return this.#track(this.#appendList(requests, options.expected, context))
      const request = requests
      const { expected = 'any' } = options
      if (typeof expected !== 'string') {
        if (!Array.isArray(expected)) encodeExpected(expected as never)
        throw new HeadwaterError(
          'EXPECTED_INVALID',
          'A list of expectations goes with a list of changes; this append has one change.',
        )
      }
      if (request?.kind === 'patch') return this.#track(this.#appendPatch(request, expected, context))
      const prepared = this.#prepare(request, expected)
      if (!(prepared instanceof Promise)) return this.#store([prepared], context, first)
      return this.#track(prepared.then((change) => this.#store([change], context, first)))
    } catch (error) {
      return Promise.reject(asError(error))
    }
  }

  /** Appends the events of one decision. */
  appendEvents(requests: readonly EventRequest[], options: AppendOptions): Promise<AppendResult[]> {
    try {
      return this.#track(this.#appendList(requests, options.expected, this.#context(options)))
    } catch (error) {
      return Promise.reject(asError(error))
    }
  }

  /** Validated, encoded and routed, for `appendPrepared`. Never for patches, which are prepared on what they find. */
  async prepare(request: PutRequest | DeleteRequest): Promise<RoutedChange> {
    return await this.#prepare(request, 'any')
  }

  /** Appends what an origin brings. */
  appendPrepared(
    change: RoutedChange,
    origin: AppendOrigin,
    metadata: Readonly<Record<string, string>>,
  ): Promise<AppendResult> {
    const context = { ...this.#context({ metadata }), origin }
    return this.#track(this.#store([change], context, first))
  }

  /** What is kept of these keys, deleted ones included. */
  records(collection: AnyCollection, keys: readonly string[]): Promise<(StateRecord | undefined)[]> {
    this.#options.checkCollection(collection)
    return this.#options.state.records(collection, keys)
  }

  /** The results of an earlier append with this idempotency key, within the window. */
  async remembered(
    collection: AnyCollection,
    key: string,
    idempotencyKey: string,
  ): Promise<AppendResult[] | undefined> {
    checkIdempotencyKey(idempotencyKey)
    const { partition } = locate(this.#options.router, collection, key)
    const field = idempotencyField(collection, key, idempotencyKey)
    const text = await this.#options.target.recall(partition, field)
    if (text === undefined) return undefined
    const verdict = parseStoredResult(text)
    return resultsOf(partition, { changes: verdict.versions.map(() => ({ key })) }, verdict)
  }

  /** Waits until everything handed in has settled. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#preparing)
    await this.#options.target.idle()
  }

  close(): void {
    this.#options.target.close()
  }

  #context(options: AppendOptions): AppendContext {
    if (typeof options !== 'object' || options === null) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `The options of append are ${quoted(options)}, not an object.`,
      )
    }
    const { idempotencyKey, metadata, durability } = options
    if (durability !== undefined && !durabilities.includes(durability)) {
      throw new HeadwaterError(
        'OPTION_INVALID',
        `durability ${quoted(durability)} must be one of ${durabilities.join(', ')}.`,
      )
    }
    if (idempotencyKey !== undefined) checkIdempotencyKey(idempotencyKey)
    return {
      idempotencyKey,
      metadata: metadata === undefined ? undefined : encodeMetadata(metadata),
      persisted:
        durability !== undefined && durability !== 'memory' ? this.#persisted(durability) : undefined,
      replicas: replicasRequired(durability ?? this.#options.durability, this.#options.replicas),
      deadline: performance.now() + this.#options.deadlineMs,
    }
  }

  /** Undefined where it is known. What was refused is asked again by the next append: it may have been put right. */
  #persisted(durability: Durability): Promise<void> | undefined {
    if (this.#persists === true) return undefined
    if (this.#persists === false) {
      this.#persists = this.#options.checkDurability!(durability)
      this.#persists.then(
        () => (this.#persists = true),
        () => (this.#persists = false),
      )
    }
    return this.#persists
  }

  #prepare(request: ChangeRequest | EventRequest, expected: Expected): RoutedChange | Promise<RoutedChange> {
    if (typeof request?.collection?.name !== 'string') {
      throw new HeadwaterError(
        'VALUE_INVALID',
        'append takes what put, patch and delete of a collection give, or a list of these.',
      )
    }
    this.#options.checkCollection(request.collection)
    const { router } = this.#options
    switch (request.kind) {
      case 'put': {
        const value: unknown = validate(request.collection, request.value)
        if (value instanceof Promise)
          return value.then((late: unknown) => preparePut(router, request.collection, late, expected))
        return preparePut(router, request.collection, value, expected)
      }
      case 'delete':
        return prepareDelete(router, request.collection, request.key, expected)
      case 'patch':
        return preparePatch(router, this.#options.state, request, expected)
      case 'event':
        return prepareEvent(router, request, expected)
      default:
        throw new HeadwaterError(
          'VALUE_INVALID',
          `append knows no change of kind ${quoted((request as { kind?: unknown }).kind)}.`,
        )
    }
  }

  async #appendList(
    requests: readonly (ChangeRequest | EventRequest)[],
    expected: Expected | readonly Expected[] | undefined,
    context: AppendContext,
  ): Promise<AppendResult[]> {
    if (requests.length === 0) throw new HeadwaterError('VALUE_INVALID', 'append was given an empty list.')
    if (requests.length > batchChangesMax) {
      throw new HeadwaterError(
        'VALUE_TOO_LARGE',
        `append was given ${requests.length} changes; the limit of an atomic list is ${batchChangesMax}.`,
      )
    }
    if (Array.isArray(expected) && expected.length !== requests.length) {
      throw new HeadwaterError(
        'EXPECTED_INVALID',
        `append was given ${requests.length} changes, but ${expected.length} expectations.`,
      )
    }
    const expectedOf = (index: number): Expected =>
      (typeof expected === 'string' ? expected : expected?.[index]) ?? 'any'
    const patches = requests.some(({ kind }) => kind === 'patch')
    for (let attempt = 1; ; attempt++) {
      // All of them, so that what is told is the first that is wrong, and not the one that was found first.
      const prepared = await Promise.allSettled(
        requests.map(async (request, index) => this.#prepare(request, expectedOf(index))),
      )
      const changes = prepared.map((of) => {
        if (of.status === 'rejected') throw of.reason
        return of.value
      })
      const [{ partition }] = changes as [RoutedChange]
      const elsewhere = changes.find((change) => change.partition !== partition)
      if (elsewhere) {
        throw new HeadwaterError(
          'PARTITIONS_DIFFER',
          `Keys ${JSON.stringify(changes[0]!.key)} and ${JSON.stringify(elsewhere.key)} fall into partitions ${partition} and ${elsewhere.partition}; a list is atomic only within one. Give their collections a partitionKey that brings them together, or append one by one.`,
        )
      }
      try {
        return await this.#store(changes, context, all)
      } catch (error) {
        if (
          !patches ||
          !(error instanceof VersionConflictError) ||
          !(await this.#mayPatchAgain(attempt, context))
        )
          throw error
        const index = requests.findIndex((request) => request.kind === 'patch' && request.key === error.key)
        if (index === -1 || expectedOf(index) !== 'any') throw error
      }
    }
  }

  async #appendPatch(
    request: PatchRequest,
    expected: Expected,
    context: AppendContext,
  ): Promise<AppendResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#store([await this.#prepare(request, expected)], context, first)
      } catch (error) {
        const conflict = error instanceof VersionConflictError || isHeadwaterError(error, 'KEY_ABSENT')
        if (conflict && context.idempotencyKey !== undefined) {
          // A retry of a patch that did succeed: what it was based on has gone since, but its result is remembered.
          const results = await this.remembered(request.collection, request.key, context.idempotencyKey)
          if (results) return first(results)
        }
        const again = error instanceof VersionConflictError && (expected === 'any' || expected === 'exists')
        if (!again || !(await this.#mayPatchAgain(attempt, context))) throw error
      }
    }
  }

  async #mayPatchAgain(attempt: number, context: AppendContext): Promise<boolean> {
    const waitMs = backoffMs(betweenPatches, attempt)
    if (performance.now() + waitMs >= context.deadline) return false
    await pause(waitMs)
    return true
  }

  #store<T>(
    changes: readonly RoutedChange[],
    context: AppendContext,
    answer: (results: AppendResult[]) => T,
  ): Promise<T> {
    const { collection, key, partition } = changes[0]!
    let size = context.metadata?.length ?? 0
    for (const { payload, key, folded } of changes)
      size += payload.length + key.length + (folded?.length ?? 0)
    if (changes.length > 1 && size > batchSizeMax) {
      return Promise.reject(
        new HeadwaterError(
          'VALUE_TOO_LARGE',
          `A list of ${changes.length} changes has ${size} characters; the limit of an atomic list is ${batchSizeMax}.`,
        ),
      )
    }
    const { persisted } = context
    if (persisted) {
      const known = { ...context, persisted: undefined }
      return this.#track(persisted.then(() => this.#store(changes, known, answer)))
    }
    const { target, telemetry } = this.#options
    return new Promise((resolve, reject) => {
      const request: PreparedRequest = {
        changes,
        idempotencyField:
          context.idempotencyKey === undefined
            ? undefined
            : idempotencyField(collection, key, context.idempotencyKey),
        metadata: context.metadata,
        origin: context.origin,
        size,
        deadline: context.deadline,
        resolve: (results) => resolve(answer(results)),
        reject,
      }
      target.store(context.replicas, partition, telemetry?.follow(partition, request) ?? request)
    })
  }

  #track<T>(running: Promise<T>): Promise<T> {
    this.#preparing.add(running)
    const forget = (): void => void this.#preparing.delete(running)
    running.then(forget, forget)
    return running
  }
}

interface AppendContext {
  readonly idempotencyKey: string | undefined
  readonly metadata: string | undefined
  /** Before the append is sent: that the server can keep what it asks for. */
  readonly persisted: Promise<void> | undefined
  readonly replicas: number
  readonly deadline: number
  readonly origin?: AppendOrigin
}

function isList(requests: ChangeRequest | readonly ChangeRequest[]): requests is readonly ChangeRequest[] {
  return Array.isArray(requests)
}

function first<T>(items: readonly T[]): T {
  return items[0]!
}

function all<T>(items: T): T {
  return items
}

/** A schema or key function of the user may throw whatever it likes. */
function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
}
