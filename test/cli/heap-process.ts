import { keepHeapSmall } from '../../packages/cli/src/heap-growth.ts'

// What a worker does with memory: much is held for a while, so that most garbage is found only where all is looked at.
if (process.argv[2] === 'small') keepHeapSmall()
const held: object[] = []
let most = 0
for (let number = 0; number < 3_000_000; number++) {
  held[number % 150_000] = { number, key: `key-${number}`, parts: [number, number + 1] }
  if (number % 1_000 === 0) most = Math.max(most, process.memoryUsage().heapTotal)
}
process.stdout.write(`${most}\n`)
