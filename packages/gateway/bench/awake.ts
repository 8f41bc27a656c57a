// Keeps a processor awake, at the least priority: a process that wakes up another one pays for that, in a virtual machine
// more than for anything that it does itself.
import { constants, setPriority } from 'node:os'

const TURN_MS = 5

setPriority(constants.priority.PRIORITY_LOW)
process.once('disconnect', () => process.exit())
turn()

function turn(): void {
  const untilMs = performance.now() + TURN_MS
  while (performance.now() < untilMs);
  setImmediate(turn)
}
