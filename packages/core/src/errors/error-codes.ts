/** What went wrong, as callers compare it. */
export type ErrorCode =
  | 'OPTION_INVALID'
  | 'COLLECTION_INVALID'
  | 'COLLECTION_UNKNOWN'
  | 'KEY_INVALID'
  | 'VALUE_INVALID'
  | 'VALUE_TOO_LARGE'
  | 'POSITION_INVALID'
  | 'MUST_REFETCH'
  | 'VERSION_INVALID'
  | 'HISTORY_TRIMMED'
  | 'ARCHIVE_DAMAGED'
  | 'ARCHIVE_UNAVAILABLE'
  | 'EXPECTED_INVALID'
  | 'PARTITIONS_DIFFER'
  | 'STATE_REQUIRED'
  | 'UPCAST_FAILED'
  | 'EVENTS_ONLY'
  | 'EVENT_INVALID'
  | 'VERSION_CONFLICT'
  | 'KEY_ABSENT'
  | 'OUTCOME_UNKNOWN'
  | 'REDIS_UNAVAILABLE'
  | 'REDIS_REFUSED'
  | 'REDIS_FULL'
  | 'LOG_FULL'
  | 'NAMESPACE_MISMATCH'
  | 'NAMESPACE_UNKNOWN'
  | 'LOG_DAMAGED'
  | 'DURABILITY_NOT_REACHED'
  | 'DURABILITY_UNAVAILABLE'
  | 'SERVER_UNSAFE'
  | 'CLOSED'
  | 'WAIT_TIMEOUT'
  | 'GROUP_UNKNOWN'
  | 'GROUP_ALIVE'
  | 'GROUP_TAKEN'
  | 'REBUILD_BLOCKED'
  | 'HOLD_TAKEN'
  | 'SINK_UNAVAILABLE'
  | 'SINK_REJECTED'
  | 'SINK_GAP'
  | 'SINK_FENCED'
  | 'SINK_MISCONFIGURED'
  | 'SINK_CONTRACT'
  | 'CLOCK_DRIFT'
  | 'ORIGIN_FENCED'
  | 'SOURCE_UNAVAILABLE'
  | 'SOURCE_REFUSED'
  | 'TARGET_REFUSED'
  | 'CAPTURE_DAMAGED'
  | 'CAPTURE_FENCED'
  | 'ATTEMPTS_EXHAUSTED'
  | 'CHANGE_UNREADABLE'
  | 'WORKER_DIED'
  | 'PARKING_FULL'
  | 'PARKED_UNKNOWN'
  | 'WORKER_UNKNOWN'

export interface ErrorCodeEntry {
  readonly means: string
  readonly remedy: string
  /** Whether the same call can succeed later, unchanged. */
  readonly retryable: boolean
}

/**
 * Every code a `HeadwaterError` can carry, with what it means and what to do. `docs/errors.md` is generated
 * from this table, so both columns are written for the person who meets the error at night.
 */
export const errorCodes: Readonly<Record<ErrorCode, ErrorCodeEntry>> = {
  OPTION_INVALID: {
    means: 'An option has a value that cannot work.',
    remedy: 'Correct the option that the message names.',
    retryable: false,
  },
  COLLECTION_INVALID: {
    means: 'A collection was defined in a way that cannot work.',
    remedy: 'Correct the definition that the message names.',
    retryable: false,
  },
  COLLECTION_UNKNOWN: {
    means:
      'The collection was not given to connect(), or the namespace has none of this name and none may be created.',
    remedy: 'Add it to `collections` of connect(), or correct the name.',
    retryable: false,
  },
  KEY_INVALID: {
    means: 'A key is empty, too long, not a string or not well-formed Unicode.',
    remedy: 'Give every entity a key of 1 to 1,024 bytes of well-formed text.',
    retryable: false,
  },
  VALUE_INVALID: {
    means: 'A value does not match its schema, or is no JSON value.',
    remedy: 'Correct the value at the path that the message names.',
    retryable: false,
  },
  VALUE_TOO_LARGE: {
    means: 'A value, or a list of changes, is larger than the limit.',
    remedy: 'Store large content elsewhere and append a reference to it; split lists.',
    retryable: false,
  },
  POSITION_INVALID: {
    means: 'A text is not a position that an append or a change gave.',
    remedy: 'Pass positions on unchanged.',
    retryable: false,
  },
  MUST_REFETCH: {
    means:
      'A feed cannot go on from its position: retention removed what came after it, or a failover or restore lost the history it belongs to.',
    remedy: 'Drop what was built from this feed and begin again with a snapshot.',
    retryable: false,
  },
  VERSION_INVALID: {
    means: 'A text is not a version that an append or a read gave.',
    remedy: 'Pass versions on unchanged, such as "7" or "7@2".',
    retryable: false,
  },
  HISTORY_TRIMMED: {
    means: 'What was asked for lies before the beginning of the log: retention removed it.',
    remedy:
      'Ask for a later moment or position, keep the log longer, or give connect() the archive that has it.',
    retryable: false,
  },
  ARCHIVE_DAMAGED: {
    means:
      'A segment or manifest of an archive is missing, altered or unreadable, or it is the archive of something else.',
    remedy:
      'Bring the piece that the message names back from a copy. What is still in the log is not affected.',
    retryable: false,
  },
  ARCHIVE_UNAVAILABLE: {
    means: 'The place where an archive lies cannot be read or written.',
    remedy:
      'Read the reason in the message: a folder that is none, a missing right, a full or read-only disk.',
    retryable: true,
  },
  EXPECTED_INVALID: {
    means: '`expected` is none of any, absent, exists or a version.',
    remedy: 'Use one of these.',
    retryable: false,
  },
  PARTITIONS_DIFFER: {
    means: 'The changes of one list fall into different partitions, so they cannot be atomic.',
    remedy: 'Append them one by one, or give the collections a partition key that brings them together.',
    retryable: false,
  },
  STATE_REQUIRED: {
    means: 'The operation reads the current value, and this collection keeps none beside the log.',
    remedy: "Define the collection with state: 'values', or read the value elsewhere and use put.",
    retryable: false,
  },
  UPCAST_FAILED: {
    means: 'An upcaster of the collection or decider failed on a stored value.',
    remedy: 'Mend the upcaster, so that it reads everything that its schema version ever held.',
    retryable: false,
  },
  EVENTS_ONLY: {
    means: 'A value was put or patched in a decider, whose state follows from events.',
    remedy: 'Send a command with log.decide.',
    retryable: false,
  },
  EVENT_INVALID: {
    means:
      'A decider gave an event of a type that it does not define, or whose data does not match its schema.',
    remedy: 'Correct `decide`, or the schema of the event.',
    retryable: false,
  },
  VERSION_CONFLICT: {
    means: 'The key is not at the expected version: somebody else changed it first.',
    remedy: 'Read the key again, decide again, append again.',
    retryable: false,
  },
  KEY_ABSENT: {
    means: 'The key does not exist, so there is nothing to patch or to replay.',
    remedy: 'Put the whole value instead of patching; look whether the key is the right one.',
    retryable: false,
  },
  OUTCOME_UNKNOWN: {
    means: 'The deadline passed before Redis confirmed the append; it may or may not be in the log.',
    remedy: 'Append again with the same idempotency key: it is stored once.',
    retryable: true,
  },
  REDIS_UNAVAILABLE: {
    means: 'Redis could not be reached, or refused to work, until the deadline.',
    remedy: 'Check the server and the network; the call can be repeated.',
    retryable: true,
  },
  REDIS_REFUSED: {
    means:
      'Redis refused a command for a reason that waiting does not mend (permissions, wrong type, wrong server).',
    remedy: 'Read the reason in the message; `headwater doctor` checks permissions and settings.',
    retryable: false,
  },
  REDIS_FULL: {
    means: 'Redis has reached its memory limit and refuses to store more.',
    remedy: 'Let the consumers catch up and trim the log, or raise maxmemory; then append again.',
    retryable: true,
  },
  LOG_FULL: {
    means:
      'A partition takes as much memory as is set for it (`partitionBytesMax`). Nothing was stored; appends work again by themselves when room returns.',
    remedy:
      'Look with `headwater retention` who needs what it keeps: start or retire that group, end that hold, trim, or raise the limit.',
    retryable: true,
  },
  NAMESPACE_MISMATCH: {
    means: 'The namespace was created with other settings than this program expects.',
    remedy: 'Use the stored settings, or another namespace.',
    retryable: false,
  },
  NAMESPACE_UNKNOWN: {
    means: 'The namespace does not exist, and connect() was told to create none.',
    remedy:
      'Correct the name, the server or its database number; or connect once with `create` left at true.',
    retryable: false,
  },
  LOG_DAMAGED: {
    means: 'The log lost or gained something behind our back (flushed, trimmed too early, restored).',
    remedy: 'See docs/operations.md: find out what happened, then verify and repair the replicas.',
    retryable: false,
  },
  DURABILITY_NOT_REACHED: {
    means: 'The change is in the log, but not yet on as many replicas as its durability demands.',
    remedy: 'Append again with the same idempotency key: it waits again and is stored once.',
    retryable: true,
  },
  DURABILITY_UNAVAILABLE: {
    means: 'The server cannot give the durability that the namespace declares, or that an append asks for.',
    remedy:
      'Switch on what the message names (an append-only file for "disk"), or declare less, or ask for less.',
    retryable: false,
  },
  SERVER_UNSAFE: {
    means: 'A worker was started on a server that would lose what the log keeps.',
    remedy: 'Set what the message names; `headwater doctor` shows everything that it looks at.',
    retryable: false,
  },
  CLOSED: {
    means: 'The log, worker or sink was used after it was closed.',
    remedy: 'Close it only after the last use.',
    retryable: false,
  },
  WAIT_TIMEOUT: {
    means: 'The change was not applied by the group within the time.',
    remedy: 'Look at the lag in the message: wait longer, or find out why the group is behind.',
    retryable: true,
  },
  GROUP_UNKNOWN: {
    means: 'No group of this name is registered at the log.',
    remedy: 'Start a worker with this group first, or correct the name.',
    retryable: false,
  },
  GROUP_TAKEN: {
    means: 'Another command has partitions of the group for itself: a rebuild that switches, or a replay.',
    remedy: 'Wait until it is done, and call this again.',
    retryable: true,
  },
  REBUILD_BLOCKED: {
    means:
      'The new version of a target cannot be completed, lacks keys that it rejects, or does not catch up, so readers do not get it.',
    remedy:
      'Redrive or drop what its group has parked, or let writers slow down, and call it again; or cancel it and correct the sink.',
    retryable: false,
  },
  GROUP_ALIVE: {
    means: 'The group has live workers, so its progress is not thrown away.',
    remedy:
      'Stop its workers; one that died is gone as soon as its lease has expired. `--force` retires the group anyway.',
    retryable: true,
  },
  HOLD_TAKEN: {
    means: 'What was to be kept from trimming under this name is kept under it for somebody else.',
    remedy:
      'Wait until the owner that the message names has ended or its hold has expired; `headwater retention` lists the holds.',
    retryable: true,
  },
  SINK_UNAVAILABLE: {
    means: 'The sink cannot take changes right now.',
    remedy: 'Nothing: the worker tries again. Check the target if it lasts.',
    retryable: true,
  },
  SINK_REJECTED: {
    means: 'The sink can never take this change as it is.',
    remedy: 'The key is parked; mend the cause and feed it back.',
    retryable: false,
  },
  SINK_GAP: {
    means: 'A sink that takes events lacks those of the key that came before this one.',
    remedy:
      'The key is parked. Were its events trimmed, or was the sink emptied or restored? Give it what it lacks, or rebuild it, and feed the key back.',
    retryable: false,
  },
  SINK_FENCED: {
    means: 'Another worker owns this partition of the sink now.',
    remedy: 'Nothing: this worker stops working on the partition.',
    retryable: false,
  },
  SINK_MISCONFIGURED: {
    means: 'The target does not fit the sink (missing column, foreign table, wrong type).',
    remedy: 'Correct the target or the options that the message names.',
    retryable: false,
  },
  SINK_CONTRACT: {
    means: 'A sink, or its caller, broke the contract of adapters.',
    remedy: 'Run the conformance kit against the adapter.',
    retryable: false,
  },
  CLOCK_DRIFT: {
    means: 'A value of another site carries a time too far ahead of our clock.',
    remedy: 'Set the clocks of both sites by NTP; then send it again.',
    retryable: true,
  },
  ORIGIN_FENCED: {
    means: 'Another process has taken over what we brought into the log from outside.',
    remedy: 'Let one of them do it, or give them names of their own.',
    retryable: false,
  },
  SOURCE_UNAVAILABLE: {
    means: 'The server to capture from cannot be reached.',
    remedy: 'Check its address, and that it runs; then start the capture again.',
    retryable: true,
  },
  SOURCE_REFUSED: {
    means:
      'The server to capture from cannot be captured as it is (permissions, version, values of modules).',
    remedy: 'Read the reason in the message and change the source, or capture in another way.',
    retryable: false,
  },
  TARGET_REFUSED: {
    means: 'The server to capture into cannot be the target (it holds other data, is a Cluster, is too old).',
    remedy: 'Choose another target, or allow what the message says.',
    retryable: false,
  },
  CAPTURE_DAMAGED: {
    means: 'A replayed transaction met an error, so the target differs from the source.',
    remedy: 'Find out who else writes to the target, then capture anew.',
    retryable: false,
  },
  CAPTURE_FENCED: {
    means: 'Another process captures into this target under the same name.',
    remedy: 'Let one of them do it, or give them names and targets of their own.',
    retryable: false,
  },
  ATTEMPTS_EXHAUSTED: {
    means:
      'The sink could not take a change in as many attempts as its group is given, though it took others.',
    remedy: 'The key is parked: see with `headwater parked show` what it met, mend that, and feed it back.',
    retryable: false,
  },
  CHANGE_UNREADABLE: {
    means: 'An entry of the log, or a change in it, cannot be decoded.',
    remedy: 'It is parked as it lies there: find out who wrote it, then drop it or append the value anew.',
    retryable: false,
  },
  WORKER_DIED: {
    means: 'Workers died, one after the other, while they applied this change.',
    remedy:
      'The key is parked: try the change where nothing can be harmed, mend the cause, and feed it back.',
    retryable: false,
  },
  PARKING_FULL: {
    means:
      'A partition has as many keys, or changes of one key, parked as its group allows, and stands still.',
    remedy: 'Mend the cause, then feed back or drop what is parked; the partition goes on by itself.',
    retryable: true,
  },
  PARKED_UNKNOWN: {
    means: 'Nothing of this name is parked in the group.',
    remedy: 'Look with `headwater parked list` what is.',
    retryable: false,
  },
  WORKER_UNKNOWN: {
    means: 'No live worker has this name.',
    remedy: 'Look with `headwater status` who owns what.',
    retryable: false,
  },
}
