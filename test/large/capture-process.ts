// A capture in a process of its own, whose memory is measured. Tells when it has caught up.
import { startCommandCapture } from '@headwater/redis'

const [from = '', to = '', spool = ''] = process.argv.slice(2)
const capture = await startCommandCapture({ from, to, spool })
await capture.caughtUp()
process.send?.('caught up')
await capture.done
