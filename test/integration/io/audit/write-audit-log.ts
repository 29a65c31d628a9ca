// A process that writes events until it is killed: a byte on stdout for each that is on the disk.
import fs from 'node:fs'
import { openAuditLog } from '../../../../src/io/audit/audit-log.ts'
import { silentLogger } from '../../../../src/io/log/logger.ts'

const log = await openAuditLog({ file: process.argv[2]!, maxBytes: 0, now: Date.now, logger: silentLogger })
for (let i = 0; ; i++) {
  log.consume({ at: Date.now(), event: { type: 'agent_recovered', agent_id: `run-${process.pid}`, after: String(i) } })
  if (i % 3 === 0) continue // further ones are under way when it ends
  await log.flush()
  fs.writeSync(1, i % 3 === 1 ? '..' : '.')
}
