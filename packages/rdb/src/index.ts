export { crc64 } from './crc64.ts'
export { RdbError, type RdbErrorCode } from './rdb-error.ts'
export type {
  RdbAux,
  RdbDatabase,
  RdbEnd,
  RdbEntry,
  RdbFunction,
  RdbHeader,
  RdbItem,
  RdbModuleAux,
  RdbModuleEntry,
  RdbPreReleaseFunction,
  RdbSizes,
  RdbSlot,
} from './rdb-item.ts'
export type {
  HashField,
  HashValue,
  ListValue,
  PendingEntry,
  RdbValue,
  ScoredMember,
  SetValue,
  SortedSetValue,
  StreamConsumer,
  StreamEntry,
  StreamGroup,
  StreamId,
  StreamValue,
  StringValue,
} from './rdb-value.ts'
export { readRdb, type ReadRdbOptions } from './reader.ts'
