import assert from 'node:assert/strict'
import { type ImaEntry, readEntry, readFields } from '../../../src/core/ima/entry.ts'
import { TemplateData } from '../../../src/core/ima/template-data.ts'
import { imaVector } from '../../ima.ts'
import { demand, type Target } from '../target.ts'

/** Used for one line after another, as a log does. */
const used = new TemplateData()
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const field = (bytes: Buffer) => Buffer.concat([u32(bytes.length), bytes])
const named = (name: string) => field(Buffer.from(`${name}\0`))

/** Lines of every template: the template data are what the plainest writer makes of the fields, whatever line was read before. */
export const imaEntry: Target = {
  seeds: () => [
    ...['entries.txt', 'signatures.txt', 'keyring.txt'].flatMap((file) =>
      imaVector(file)
        .toString()
        .split('\n')
        .map((line) => Buffer.from(line)),
    ),
    ...LINES.map((line) => Buffer.from(line)),
  ],
  words: [
    ' ima ',
    ' ima-ng ',
    ' ima-ngv2 ',
    ' ima-sig ',
    ' ima-sigv2 ',
    ' ima-buf ',
    ' ima-modsig ',
    'sha256:',
    'sha1:',
    'verity:',
    'ima:',
    'boot_aggregate',
  ],
  run(input) {
    readsName(input)
    const line = input.toString('utf8')
    const entry = readEntry(line)
    const fields = readFields(line, used)
    demand(
      typeof entry === 'object' || typeof fields === 'string' || !/^([0-9a-f]{2})+$/i.test(fields.column),
      'a line is read once and not the other time',
    )
    if (typeof entry === 'string') return
    assert.deepEqual(lowerCase(fields as ImaEntry), entry)
    const expected = plainData(entry, line)
    if (expected) assert.equal(entry.data.toString('hex'), expected.toString('hex'))
    demand(line.startsWith(`${entry.pcr} `) && line.includes(entry.name), 'the name is not in the line')
  },
}

/** Any name that a kernel can print stands in a line of each template as it is. */
function readsName(input: Buffer): void {
  const name = input.toString('utf8').replace(/[\n\0]/g, '_')
  for (const [template, before, after] of FORMS) {
    if (template === 'ima-buf' && name.includes(' ')) continue
    const entry = readEntry(`10 ${COLUMN} ${template} ${before} ${name}${after}`)
    if (typeof entry === 'string') demand(template === 'ima' && Buffer.byteLength(name) > 255, () => `${template} is refused: ${entry}`)
    else
      demand(
        entry.name === name && entry.digest === (template === 'ima' ? '22'.repeat(20) : DIGEST),
        `${template} has another name or digest`,
      )
  }
}

const lowerCase = (entry: ImaEntry) => ({
  ...entry,
  column: entry.column.toLowerCase(),
  digest: entry.digest.toLowerCase(),
  data: Buffer.from(entry.data),
  extra: Buffer.from(entry.extra),
})

/** Written by the specification (policies A.3), from the fields alone. Null for a bare digest, whose written algorithm is a matter of its length. */
function plainData(entry: ImaEntry, line: string): Buffer | null {
  const { template, algorithm, digest, name, extra, digestType } = entry
  const hex = Buffer.from(digest, 'hex')
  if (template === 'ima') {
    const padded = Buffer.alloc(256)
    padded.write(name)
    return Buffer.concat([hex, padded])
  }
  const typed = template === 'ima-ngv2' || template === 'ima-sigv2'
  const prefix = typed ? `${digestType}:${algorithm}:` : `${algorithm}:`
  if (!line.includes(prefix)) return null
  const first = [field(Buffer.concat([Buffer.from(`${prefix}\0`, 'latin1'), hex])), named(name)]
  if (template === 'ima-ng' || template === 'ima-ngv2') return Buffer.concat(first)
  if (template !== 'ima-modsig') return Buffer.concat([...first, field(extra)])
  if (line.split(' ').length < 8) return null // fields are missing: where the name ends is a matter of reading
  const [appendedDigest, appended] = line.split(' ').slice(-2) as [string, string]
  if (appendedDigest !== '' && !appendedDigest.includes(':')) return null
  const colon = appendedDigest.indexOf(':') + 1
  const inner =
    colon === 0
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.from(`${appendedDigest.slice(0, colon)}\0`, 'latin1'), Buffer.from(appendedDigest.slice(colon), 'hex')])
  return Buffer.concat([...first, field(extra), field(inner), field(Buffer.from(appended, 'hex'))])
}

const DIGEST = '11'.repeat(32)
const COLUMN = 'ab'.repeat(20)
const FORMS = [
  ['ima', '22'.repeat(20), ''],
  ['ima-ng', `sha256:${DIGEST}`, ''],
  ['ima-ngv2', `verity:sha256:${DIGEST}`, ''],
  ['ima-sig', `sha256:${DIGEST}`, ' 0302'],
  ['ima-sig', `sha256:${DIGEST}`, ' '],
  ['ima-sigv2', `ima:sha256:${DIGEST}`, ' 06'],
  ['ima-buf', `sha256:${DIGEST}`, ' 6162'],
  ['ima-modsig', `sha256:${DIGEST}`, ` 03 sha256:${DIGEST} 3082`],
] as const
const LINES = [
  `10 ${COLUMN} ima ${'22'.repeat(20)} /bin/x`,
  `10 ${COLUMN} ima-ng sha256:${DIGEST} /bin/with blank`,
  `10 ${COLUMN} ima-ngv2 verity:sha256:${DIGEST} /bin/x`,
  `10 ${COLUMN} ima-sig sha256:${DIGEST} /bin/x 0302046730eefd`,
  `10 ${COLUMN} ima-sig sha256:${DIGEST} /bin/x `,
  `10 ${COLUMN} ima-sigv2 ima:sha256:${DIGEST} /bin/x 00`,
  `10 ${COLUMN} ima-buf sha256:${DIGEST} kexec-cmdline 616263`,
  `10 ${COLUMN} ima-modsig sha256:${DIGEST} /lib/a.ko  sha256:${DIGEST} 3082`,
  `10 ${'0'.repeat(40)} ima-ng sha256:${'0'.repeat(64)} /bin/v`,
]
