// A capture of state in a process of its own, whose memory is measured. Tells when it has caught up.
import { connect } from '@headwater/core'
import { startStateCapture } from '@headwater/redis'
import { sizes, sizesOfKeys } from './sizes.ts'

const [from = '', server = '', spool = ''] = process.argv.slice(2)
const log = await connect(server, { namespace: 'large', collections: [sizes] })
const capture = await startStateCapture(log, { from, collections: [sizesOfKeys], spool })
await capture.caughtUp()
process.send?.('caught up')
await capture.done
