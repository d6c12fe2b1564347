// A capture in a process of its own, to be killed. Tells when it has applied something.
import { startCommandCapture } from '@headwater/redis'

const { FROM: from = '', TO: to = '', SPOOL: spool = '' } = process.env
const capture = await startCommandCapture({ from, to, spool })
await capture.caughtUp()
process.send?.('applied')
await capture.done
