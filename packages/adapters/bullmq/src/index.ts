export { bullmqSink, type BullmqSinkOptions } from './bullmq-sink.ts'
export { jobIdOf, type ChangeJob, type ChangeJobOptions, type NamedJob } from './change-job.ts'
