// A process with the stream of events of a verifier: raises one for each line on standard input, and says when it is in the audit log.
import readline from 'node:readline'
import { systemClock } from '../../../src/io/clock.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import { startEvents } from '../../../src/roles/verifier/audit/start-events.ts'

const values = { audit_log: 'audit.log', audit_log_max_size: 0 }
const events = await startEvents({ values, keylimeDir: process.argv[2]!, clock: systemClock, logger: silentLogger })
for await (const agent_id of readline.createInterface({ input: process.stdin })) {
  events.stream.raise({ type: 'agent_attested', agent_id })
  await events.flush()
  process.stdout.write(`${agent_id}\n`)
}
await events.stop()
