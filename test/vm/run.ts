import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'
import { endGoldenMachines, goldenMachines } from './golden.ts'
import { buildImage, Machine } from './machine.ts'
import { Operator } from './operator.ts'
import { behindNat } from './parts/behind-nat.ts'
import { boots } from './parts/boots.ts'
import { changes } from './parts/changes.ts'
import { interruptions } from './parts/interruptions.ts'
import { intrusion } from './parts/intrusion.ts'
import { rustAgent } from './parts/rust-agent.ts'
import { secrets } from './parts/secrets.ts'
import { service } from './parts/service.ts'
import { signedFiles } from './parts/signed-files.ts'
import { record } from './record.ts'
import { Report } from './report.ts'

const PARTS: readonly (readonly [title: string, part: (bench: Bench) => Promise<void>])[] = [
  ['the agent registers on a real kernel, and the next boot is accepted', boots],
  ['secrets are never on the disk', secrets],
  ['an unknown program is run: the other machine shuts it out', intrusion],
  ['other boots are refused, with the reason', changes],
  ['reboot, dead verifier, pause, jumping clock', interruptions],
  ['the service under systemd', service],
  ["upstream's Rust agent against our verifier", rustAgent],
  ['programs that are signed', signedFiles],
  ['a machine that nobody can call', behindNat],
]

const usage = `Real machines under qemu: a real kernel with IMA, firmware with Secure Boot, a TPM device, systemd.

Usage: npm run vm [-- PART...] [--record DIR]

Parts (default: all):
${PARTS.map(([title], index) => `  ${index + 1}  ${title}`).join('\n')}

  --record DIR  record logs, PCRs and a quote of a fresh boot into DIR, in place of the parts
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { record: { type: 'string' }, help: { type: 'boolean' } },
})
/** In their order, whatever was said: the last leaves a machine registered as one that nobody can call. */
const chosen = positionals.length > 0 ? positionals.map(Number).toSorted((a, b) => a - b) : PARTS.map((_, index) => index + 1)
if (values.help || chosen.some((number) => !PARTS[number - 1])) {
  process.stdout.write(usage)
  process.exit(values.help ? 0 : 2)
}

const operator = new Operator()
const report = new Report()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end().then(() => process.exit(1)))
try {
  await buildImage()
  await operator.start()
  await operator.forgetAll()
  const bench = { operator, report, golden: await goldenMachines(operator, (text) => process.stdout.write(`        ${text}\n`)) }
  if (values.record) await report.part(`recording into ${values.record}`, () => record(bench, values.record!))
  else for (const number of chosen) await report.part(`${number}  ${PARTS[number - 1]![0]}`, () => PARTS[number - 1]![1](bench))
} finally {
  await end()
}
process.exitCode = report.end()

/** Nothing of ours runs on: neither servers nor machines. */
async function end(): Promise<void> {
  for (const name of ['one', 'two']) await new Machine(name).delete()
  await endGoldenMachines()
  await operator.stop()
}
