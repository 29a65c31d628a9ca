// `npm run packages`: the packages of the built executable, in a bare Debian (docs/releasing.md). As root.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Report } from '../vm/report.ts'
import { arm64 } from './arm64.ts'
import { debianLife } from './debian-life.ts'
import { otherForms } from './other-forms.ts'
import { Place } from './place.ts'
import { reproducible } from './reproducible.ts'
import { rpmLife } from './rpm-life.ts'
import { underSystemd } from './under-systemd.ts'

const PARTS = {
  reproducible: ['two builds are the same', reproducible],
  debian: ['a life in a bare Debian', debianLife],
  systemd: ['a life under systemd', underSystemd],
  arm64: ['another machine: arm64', arm64],
  rpm: ['a life in a database of RPM', rpmLife],
  others: ['RPM, image, archive, signature', otherForms],
} as const

const asked = process.argv.slice(2)
if (asked.some((name) => !(name in PARTS))) {
  process.stdout.write(`Usage: npm run packages [-- PART...]\n\nParts: ${Object.keys(PARTS).join(', ')}\n`)
  process.exit(2)
}
const chosen = (asked.length > 0 ? asked : Object.keys(PARTS)) as (keyof typeof PARTS)[]
const report = new Report()
const place = new Place(fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-packages-')))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.once('exit', () => place.remove())
place.install()
for (const name of chosen) await report.part(PARTS[name][0], () => PARTS[name][1](report, place))
process.exitCode = report.end()
