import type {
  Expected,
  ParkedDetail,
  ParkedEntry,
  ParkedFilter,
  ParkedName,
  Position,
  RedriveReport,
} from '@headwater/core'
import { CliError } from '../cli-error.ts'
import type { Invocation } from '../invocation.ts'
import { jsonInput } from '../json-input.ts'
import { openLog, openToWrite } from '../open-log.ts'
import { count, duration, printable, timeLeft, type Output } from '../output.ts'
import { exitCodeOf, stopSignal, type StopReason } from '../stop-signal.ts'
import { table } from '../table.ts'

/** Which of the parked keys, as flags say it. */
interface FilterFlags {
  readonly collection?: string
  readonly key?: string
  readonly entry?: string
  readonly partition?: number
  readonly reason?: string
  /** In ms. */
  readonly olderThan?: number
}

export interface ListFlags extends FilterFlags {
  readonly limit?: number
}

export interface RetryFlags {
  /** Seconds. */
  readonly wait?: number
}

export interface EditFlags extends RetryFlags {
  readonly expected?: string
  readonly key?: string
}

export interface DropFlags extends FilterFlags {
  readonly all?: boolean
  readonly dryRun?: boolean
}

export interface RedriveFlags extends FilterFlags, RetryFlags {
  /** Changes a second. */
  readonly rate?: number
  readonly dryRun?: boolean
}

interface NameFlags {
  readonly collection?: string | undefined
  readonly key?: string | undefined
  readonly entry?: string | undefined
}

const listed = 100

export async function listParked(
  { options, output }: Invocation,
  group: string,
  { limit = listed, ...flags }: ListFlags,
): Promise<void> {
  await using log = await openLog(options)
  const parked = await log.parking(group).list(filterOf(flags))
  const shown = parked.slice(0, limit)
  await output.result({ group, keys: parked.length, parked: shown.map(entryJson) }, () => {
    if (parked.length === 0) return `${group} has nothing parked that matches.`
    const more = parked.length > limit ? [`… and ${count(parked.length - limit)} more (--limit)`] : []
    return [parkedTable(shown), ...more].join('\n')
  })
}

export async function showParked(
  { options, output }: Invocation,
  group: string,
  name: NameFlags,
): Promise<void> {
  await using log = await openLog(options)
  const detail = await log.parking(group).show(nameOf(name))
  const json = {
    ...entryJson(detail),
    contents: detail.contents.map(({ value, ...rest }) => ({ ...rest, value: value ?? null })),
    // Base64, because it may be no text.
    raw: detail.raw?.map((bytes) => bytes.toString('base64')) ?? null,
  }
  await output.result(json, () => detailText(output, detail))
}

export async function retryParked(
  { options, output }: Invocation,
  group: string,
  name: { readonly collection: string; readonly key: string },
  { wait = 30 }: RetryFlags,
): Promise<void> {
  await using log = await openLog(options)
  const report = await log.parking(group).retry(name, { timeoutMs: wait * 1_000 })
  await tell(output, group, report)
}

export async function editParked(
  { options, output }: Invocation,
  group: string,
  collection: string,
  json: string,
  { expected, key, wait = 30 }: EditFlags,
): Promise<void> {
  const value = await jsonInput(json)
  await using opened = await openToWrite(options, collection, { ...(key !== undefined && { key }) })
  const edited = await opened.log.parking(group).edit(opened.collection, value, {
    timeoutMs: wait * 1_000,
    ...(expected !== undefined && { expected: expected as Expected }),
  })
  const { version, position, redrive } = edited
  output.note(`${collection}/${printable(edited.key)} is at version ${version}, position ${position}`)
  await tell(output, group, redrive, { collection, key: edited.key, version, position })
}

export async function skipParked(
  { options, output }: Invocation,
  group: string,
  name: { readonly collection: string; readonly key: string },
  { position }: { readonly position?: string },
): Promise<void> {
  await using log = await openLog(options)
  const { left } = await log
    .parking(group)
    .skip(name, { ...(position !== undefined && { position: position as Position }) })
  await output.result({ group, ...name, left }, () => {
    const text = `${name.collection}/${printable(name.key)}: the first parked change is given up; `
    return `${text}${left === 0 ? 'nothing is left' : `${count(left)} are left, feed them back with retry`}`
  })
}

export async function dropParked(
  { options, output }: Invocation,
  group: string,
  { all = false, dryRun = false, ...flags }: DropFlags,
): Promise<void> {
  const filter = filterOf(flags)
  if (!all && Object.keys(filter).length === 0) {
    throw new CliError('USAGE', 'Drop what? Give a filter such as --collection and --key, or --all.')
  }
  await using log = await openLog(options)
  const onProgress = stepOf(output, 'given up')
  const report = await log.parking(group).drop({ ...filter, all, dryRun, onProgress })
  await output.result({ group, ...report }, () => {
    return `${group}: ${count(report.keys)} keys with ${count(report.changes)} changes ${dryRun ? 'would be ' : ''}given up`
  })
}

/** Feeds back until all is done or nobody comes to it; a signal takes back what is not on its way. */
export async function redriveParked(
  { options, output }: Invocation,
  group: string,
  { rate, dryRun = false, wait = 30, ...flags }: RedriveFlags,
): Promise<void> {
  const signal = stopSignal()
  await using log = await openLog(options)
  try {
    const report = await log.parking(group).redrive({
      ...filterOf(flags),
      dryRun,
      timeoutMs: wait * 1_000,
      signal,
      ...(rate !== undefined && { changesPerSecond: rate }),
      onProgress: stepOf(output, 'fed back'),
    })
    await tell(output, group, report)
  } catch (error) {
    if (!signal.aborted) throw error
    output.note('Taken back what was not on its way yet.')
    process.exitCode = exitCodeOf(signal.reason as StopReason)
  }
}

function stepOf(output: Output, what: string): (done: number, total: number) => void {
  const began = performance.now()
  return (done, total) => {
    const share = done / total
    output.progress(() => `${count(done)} of ${count(total)} keys ${what}${timeLeft(began, share)}`, share)
  }
}

async function tell(output: Output, group: string, report: RedriveReport, more: object = {}): Promise<void> {
  const { dryRun, selected, redriven, changes, refused, waiting, planned } = report
  process.exitCode = refused.length + waiting.length > 0 ? 1 : 0
  const json = {
    group,
    ...more,
    dryRun,
    selected,
    redriven,
    changes,
    refused: refused.map(entryJson),
    waiting: waiting.map(entryJson),
    planned: planned.map(entryJson),
  }
  await output.result(json, () => {
    if (dryRun) {
      const summary = `${group}: ${count(selected)} keys with ${count(changes)} changes would be fed back`
      return [summary, ...(planned.length > 0 ? [parkedTable(planned.slice(0, listed))] : [])].join('\n')
    }
    const parts = [
      `${count(redriven)} of ${count(selected)} keys fed back, ${count(changes)} changes`,
      ...(refused.length > 0 ? [`${count(refused.length)} still rejected`] : []),
      ...(waiting.length > 0 ? [`${count(waiting.length)} wait for a worker to come to them`] : []),
    ]
    const left = [...refused, ...waiting].slice(0, listed)
    return [`${group}: ${parts.join('; ')}`, ...(left.length > 0 ? [parkedTable(left)] : [])].join('\n')
  })
}

function filterOf({ olderThan, reason, ...rest }: FilterFlags): ParkedFilter {
  return {
    ...rest,
    ...(reason !== undefined && { reason: reason as NonNullable<ParkedFilter['reason']> }),
    ...(olderThan !== undefined && { minAgeMs: olderThan }),
  }
}

function nameOf({ collection, key, entry }: NameFlags): ParkedName {
  if (entry !== undefined) return { entry }
  if (collection !== undefined && key !== undefined) return { collection, key }
  throw new CliError('USAGE', 'Show what? Give a collection and a key, or --entry <position>.')
}

/** With null for what is not there, so that every entry has every property. */
function entryJson({ entry, ...rest }: ParkedEntry): object {
  const { contents: _, raw: __, ...flat } = rest as ParkedEntry & Partial<ParkedDetail>
  return { ...flat, entry: entry ?? null }
}

function parkedTable(parked: readonly ParkedEntry[]): string {
  return table<ParkedEntry>(
    [
      { title: 'key', text: labelOf },
      { title: 'partition', align: 'right', text: ({ partition }) => String(partition) },
      { title: 'changes', align: 'right', text: ({ changes }) => count(changes) },
      { title: 'parked for', align: 'right', text: ({ ageMs }) => duration(ageMs / 1_000) },
      { title: 'first', text: ({ first }) => first },
      {
        title: 'reason',
        text: ({ reason, message, redriving }) =>
          `${redriving ? '(on its way back) ' : ''}${reason}: ${printable(message).slice(0, 120)}`,
      },
    ],
    parked,
  )
}

function labelOf({ collection, key, entry }: ParkedEntry): string {
  return entry === undefined ? `${collection}/${printable(key)}` : `entry ${entry}`
}

function detailText(output: Output, detail: ParkedDetail): string {
  const { reason, message, changes, ageMs, refused, contents, raw = [] } = detail
  const lines = [
    `${labelOf(detail)}: ${count(changes)} changes, parked for ${duration(ageMs / 1_000)}${refused > 0 ? `, fed back ${refused} times` : ''}`,
    `${reason}: ${printable(message)}`,
  ]
  for (const { position, version, kind, time, value, payload } of contents) {
    const head = `${kind}  version ${version}  position ${position}  ${new Date(time).toISOString()}`
    lines.push(output.style('dim', head))
    if (payload !== '')
      lines.push(value === undefined ? printable(payload) : JSON.stringify(value, undefined, 2))
  }
  for (let at = 0; at + 1 < raw.length; at += 2) {
    lines.push(`${printable(raw[at]!.toString())}: ${printable(raw[at + 1]!.toString()).slice(0, 1_000)}`)
  }
  return lines.join('\n')
}
