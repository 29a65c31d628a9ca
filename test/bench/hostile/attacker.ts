// A process of its own, so that what the attack costs is not taken for what it does: `node attacker.ts NAME PORT CA`. Ends when its input does.
import fs from 'node:fs'
import { hostileMachine, MACHINE_ATTACKS } from './machines.ts'
import { STRANGER_ATTACKS } from './strangers.ts'

const [name, port, ca] = process.argv.slice(2) as [string, string, string]
const stranger = STRANGER_ATTACKS[name]
const machine = MACHINE_ATTACKS[name]
const over = new AbortController()
process.stdin.resume().on('end', () => {
  over.abort()
  if (machine) process.exit(0)
})
if (machine) process.stdout.write(`${JSON.stringify(await hostileMachine(machine, fs.readFileSync(ca, 'utf8')))}\n`)
else if (stranger) {
  process.stdout.write('{}\n')
  await stranger(Number(port), over.signal)
}
