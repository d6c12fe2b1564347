import {
  connect,
  diagnose,
  isHeadwaterError,
  type AnySink,
  type Finding,
  type Log,
  type Role,
  type Severity,
} from '@headwater/core'
import { sinksOf } from '../compared-groups.ts'
import type { Config } from '../config.ts'
import type { Invocation } from '../invocation.ts'
import { openLog } from '../open-log.ts'
import type { Output } from '../output.ts'
import { configOf, settingsOf } from '../settings.ts'

export interface DoctorFlags {
  /** Whose permissions to look at. */
  readonly user?: string
  readonly role?: readonly Role[]
}

const marks: Readonly<Record<Severity, string>> = { problem: '✗', warning: '!', unknown: '?', ok: '✓' }
const colors = { problem: 'red', warning: 'yellow', unknown: 'yellow', ok: 'green' } as const

/** Looks at everything that a log depends on; ends with 1 where there is a problem. Changes nothing. */
export async function doctor({ options, output }: Invocation, { user, role }: DoctorFlags): Promise<void> {
  const config = await configOf(options)
  const sinks = config?.groups ? await sinksOf(config) : new Map<string, AnySink>()
  const { log, finding } = config ? await openAsConfigured(config, options) : { log: await openLog(options) }
  try {
    const diagnosis = await diagnose(log, {
      sinks: Object.fromEntries(sinks),
      ...(user !== undefined && { user }),
      ...(role && { roles: role }),
    })
    const findings = finding ? [finding, ...diagnosis.findings] : diagnosis.findings
    const { severity } = finding ?? diagnosis
    if (severity === 'problem') process.exitCode = 1
    const shown = findings.map(({ about = null, remedy = null, ...rest }) => ({ ...rest, about, remedy }))
    await output.result({ namespace: log.namespace, severity, findings: shown }, () =>
      findings.map((each) => textOf(output, each)).join('\n'),
    )
  } finally {
    await Promise.all([...sinks.values()].map((sink) => sink.close()))
    await log.close()
  }
}

/** As a program with this config would open it; where that is refused, the refusal is a finding like any other. */
async function openAsConfigured(
  config: Config,
  options: Invocation['options'],
): Promise<{ log: Log; finding?: Finding }> {
  const { redis, namespace } = await settingsOf(options, config)
  const { collections, partitions, durability, replicas } = config
  try {
    const wishes = { collections, partitions, durability, replicas, create: false, deadlineMs: 5_000 }
    return { log: await connect(redis, { namespace, ...wishes }) }
  } catch (error) {
    const ours = ['NAMESPACE_MISMATCH', 'COLLECTION_UNKNOWN', 'DURABILITY_UNAVAILABLE'] as const
    if (!isHeadwaterError(error) || !ours.some((code) => code === error.code)) throw error
    const finding: Finding = {
      check: 'config',
      severity: 'problem',
      about: undefined,
      message: error.message,
      remedy: 'Make the config file and what the log was created with agree: programs with it are refused.',
    }
    return { log: await openLog(options), finding }
  }
}

function textOf(output: Output, { check, severity, about, message, remedy }: Finding): string {
  const head = `${output.style(colors[severity], marks[severity])} ${check}${about === undefined ? '' : ` (${about})`}: ${message}`
  return remedy === undefined ? head : `${head}\n    ${remedy}`
}
