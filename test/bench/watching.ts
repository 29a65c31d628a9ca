// Started by watch.ts: watches for so many seconds, and prints the milliseconds of processor time that it took.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MeasurementMark } from '../../src/io/files/measurement-mark.ts'
import { silentLogger } from '../../src/io/log/logger.ts'
import { ChangeWatch } from '../../src/roles/agent/push/change-watch.ts'

const [watches, seconds] = [process.argv[2] === 'true', Number(process.argv[3])]
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-watching-'))
fs.writeFileSync(path.join(directory, 'runtime_measurements_count'), '1234\n')
const mark = new MeasurementMark(path.join(directory, 'ascii_runtime_measurements'))
mark.open()
const watch = new ChangeWatch({
  list: () => mark.read(),
  pcrs: async () => 1,
  pcrsMs: 5000,
  changed: () => undefined,
  logger: silentLogger,
})
await watch.proving()
await sleep(1000)
if (watches) watch.start()
const before = process.cpuUsage()
await sleep(seconds * 1000)
const { user, system } = process.cpuUsage(before)
console.log(((user + system) / 1000).toFixed(1))
watch.stop()
mark.close()
fs.rmSync(directory, { recursive: true })
