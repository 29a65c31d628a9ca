// `npm run bench [PART…]`: parts are quote, ima, signatures, judging, boot-log, start, deliver, revocation, fan-out, watch, and, only when it is asked for, hostile
// (of the built executable; `npm run bench hostile -- --attack NAME` for one attack), push (10,000 machines that bring their evidence), fleet (machines that are asked), soak (20 minutes of them) and flame (flame graphs). Medians of one run; ratios, not milliseconds, can be compared between machines.
import { benchBootLog } from './boot-log.ts'
import { benchDeliver } from './deliver.ts'
import { benchFanOut } from './fan-out.ts'
import { benchFileSignatures } from './file-signatures.ts'
import { benchFlame } from './flame.ts'
import { UsageError } from './fleet/given.ts'
import { benchFleet } from './fleet.ts'
import { benchHostile } from './hostile.ts'
import { benchIma } from './ima.ts'
import { benchJudging } from './judging.ts'
import { benchPush } from './push.ts'
import { benchRevocation } from './revocation.ts'
import { benchSoak } from './soak.ts'
import { benchStart } from './start.ts'
import { benchSteady } from './steady.ts'
import { benchVerifyQuote } from './verify-quote.ts'
import { benchWatch } from './watch.ts'

const PARTS: Record<string, () => void | Promise<void>> = {
  quote: benchVerifyQuote,
  ima: benchIma,
  signatures: benchFileSignatures,
  judging: benchJudging,
  'boot-log': benchBootLog,
  start: benchStart,
  deliver: benchDeliver,
  revocation: benchRevocation,
  'fan-out': benchFanOut,
  watch: benchWatch,
}
const WITH_OPTIONS: Record<string, (args: readonly string[]) => Promise<void>> = {
  hostile: benchHostile,
  steady: benchSteady,
  fleet: benchFleet,
  soak: benchSoak,
  flame: benchFlame,
  push: benchPush,
}
const asked = process.argv.slice(2)
try {
  const alone = WITH_OPTIONS[asked[0] ?? '']
  if (alone) await alone(asked.slice(1))
  else for (const [name, run] of Object.entries(PARTS)) if (asked.length === 0 || asked.includes(name)) await run()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.log(error.message)
  process.exitCode = asked.includes('--help') ? 0 : 2
}
