// A capture of state in a process of its own, to be killed. Tells when it has caught up.
import { connect } from '@headwater/core'
import { startStateCapture } from '@headwater/redis'
import { collections, mappings } from './captured-types.ts'

const { FROM: from = '', LOG: server = '', NAMESPACE: namespace = '', SPOOL: spool = '' } = process.env
const log = await connect(server, { namespace, collections: Object.values(collections) })
const capture = await startStateCapture(log, { from, collections: mappings, spool })
await capture.caughtUp()
process.send?.('caught up')
await capture.done
