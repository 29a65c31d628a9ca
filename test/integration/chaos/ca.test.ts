import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { parseCrl } from '../../../src/core/pki/crl.ts'
import { sameKey } from '../../../src/core/pki/keys.ts'
import { chosen, complaintOf, endAll, isWhole, runRole, type Trouble, walkOf } from '../../chaos/role-process.ts'
import { temporaryKeylimeDir } from '../../servers.ts'

/** What an authority does, and what it is done upon: each begins where the one before ended. */
const STORY: readonly { words: string[]; again?: string[] }[] = [
  { words: ['init'] },
  { words: ['create', 'web'] },
  { words: ['create', 'web', '--replace'] },
  { words: ['pkg', '-n', 'web', '--insecure'] },
  { words: ['operator', 'alice'], again: ['operator', 'alice', '--replace'] },
  { words: ['operator', 'alice', '--replace'] },
  { words: ['revoke', 'web'] },
  { words: ['reissue'] },
  { words: ['passwd', '--new-password-file', 'NEW'] },
  { words: ['init', '--yes'] },
]

const home = temporaryKeylimeDir({ KEYLIME_CA_PASSWORD: 'secret' })
const ca = path.join(home.dir, 'ca')
const kept = path.join(home.dir, 'kept')
fs.writeFileSync(path.join(home.dir, 'NEW'), 'other', { mode: 0o600 })
afterEach(endAll)
afterAll(() => home.remove())

function run(words: readonly string[], trouble: Trouble = {}) {
  const args = words.map((word) => (word === 'NEW' ? path.join(home.dir, word) : word))
  return runRole(['ca', ...args, '-d', ca], home.env, trouble)
}
const put = (from: string, to: string) => {
  fs.rmSync(to, { recursive: true, force: true })
  if (fs.existsSync(from)) fs.cpSync(from, to, { recursive: true, preserveTimestamps: true })
}

/** What must not be lost, read from the files. */
function facts() {
  const names = fs.existsSync(ca) ? fs.readdirSync(ca) : []
  const read = (name: string) => fs.readFileSync(path.join(ca, name))
  const certificates = names
    .filter((name) => name.endsWith('-cert.crt'))
    .map((name) => ({ stem: name.slice(0, -9), x509: new X509Certificate(read(name)) }))
  for (const { stem, x509 } of certificates) {
    if (names.includes(`${stem}-private.pem`)) expect(x509.checkPrivateKey(createPrivateKey(read(`${stem}-private.pem`)))).toBe(true)
    if (names.includes(`${stem}-public.pem`)) expect(sameKey(createPublicKey(read(`${stem}-public.pem`)), x509.publicKey)).toBe(true)
  }
  const crl = names.includes('cacrl.der') ? parseCrl(read('cacrl.der')) : undefined
  return {
    serials: certificates.map(({ x509 }) => BigInt(`0x${x509.serialNumber}`)),
    revoked: crl?.revoked.map(({ serial }) => serial) ?? [],
    crlNumber: crl?.number ?? 0n,
    issued: issued(names),
    names,
  }
}

/** Serials of all that is kept of what was issued; each of it is of this authority. */
function issued(names: readonly string[]): bigint[] {
  if (!names.includes('issued') || !names.includes('cacert.crt')) return []
  const authority = new X509Certificate(fs.readFileSync(path.join(ca, 'cacert.crt')))
  const kept = fs.readdirSync(path.join(ca, 'issued')).filter((name) => name.endsWith('.crt'))
  return kept.map((name) => {
    const x509 = new X509Certificate(fs.readFileSync(path.join(ca, 'issued', name)))
    expect([name, x509.verify(authority.publicKey)]).toEqual([name, true])
    return BigInt(`0x${x509.serialNumber}`)
  })
}

let told = 0
/** What comes before a step of the story, when only some of it is run. */
async function tellUntil(step: number): Promise<void> {
  for (; told < step; told++) {
    const { words } = STORY[told]!
    const { code } = await run(words)
    expect([words, code]).toEqual([words, 0])
    if (words[0] === 'passwd') home.env['KEYLIME_CA_PASSWORD'] = 'other'
  }
  told++
}

/** Few have the time for all of it. */
const steps = isWhole ? STORY : STORY.slice(0, 2)

test.each(
  steps.map(({ words, again }, i) => [`ca ${words.join(' ')}`, { words, again: again ?? words, isNew: words[0] === 'init' }, i] as const),
)('%s, killed anywhere, loses no key, no revocation and no serial, and can be done again', async (name, { words, again, isNew }, step) => {
  await tellUntil(step)
  put(ca, kept)
  const before = facts()
  const list = path.join(home.dir, 'points')
  fs.rmSync(list, { force: true })
  const done = await run(words, { failpoint: `count:${list}` })
  expect([name, done.code, complaintOf(done)]).toEqual([name, 0, null])
  const result = path.join(home.dir, 'result')
  put(ca, result)
  for (const failpoint of words[0] === 'init' && !isWhole ? [] : chosen(walkOf(list).failpoints, 1)) {
    put(kept, ca)
    const killed = await run(words, { failpoint })
    expect([failpoint, killed.signal ?? complaintOf(killed)]).toEqual([failpoint, 'SIGKILL'])
    await holds({ failpoint, before, isNew, again })
  }
  put(result, ca)
  if (words[0] === 'passwd') home.env['KEYLIME_CA_PASSWORD'] = 'other'
})

async function holds({
  failpoint,
  before,
  isNew,
  again,
}: {
  failpoint: string
  before: ReturnType<typeof facts>
  isNew: boolean
  again: string[]
}) {
  const after = facts()
  if (!isNew) {
    const { code, text } = await run(['list'])
    expect([failpoint, code, text]).toEqual([failpoint, 0, expect.any(String)])
    for (const serial of before.revoked) expect(after.revoked).toContain(serial)
    expect(after.crlNumber).toBeGreaterThanOrEqual(before.crlNumber)
  }
  const password = home.env['KEYLIME_CA_PASSWORD']
  if (again[0] === 'passwd' && (await run(['crl'])).code !== 0) home.env['KEYLIME_CA_PASSWORD'] = 'other' // it was done
  const repeated = await run(again)
  if (repeated.code !== 0) expect([failpoint, repeated.text]).toEqual([failpoint, expect.stringContaining('already')])
  expect([failpoint, complaintOf(repeated)]).toEqual([failpoint, null])
  if (again[0] === 'passwd') home.env['KEYLIME_CA_PASSWORD'] = 'other'
  const fresh = await run(['create', 'fresh', '--replace', '--json'])
  expect([failpoint, complaintOf(fresh)]).toEqual([failpoint, null])
  const { serial } = JSON.parse(fresh.text) as { serial: string }
  if (!isNew) expect([...before.issued, ...after.issued, ...before.serials, ...after.serials]).not.toContain(BigInt(serial))
  const end = facts()
  expect([failpoint, end.serials.filter((one) => !end.issued.includes(one))]).toEqual([failpoint, []])
  if (!isNew) expect([failpoint, before.issued.filter((one) => !end.issued.includes(one))]).toEqual([failpoint, []])
  if (!isNew) for (const revoked of [...before.revoked, ...after.revoked]) expect(end.revoked).toContain(revoked)
  expect([failpoint, end.names.filter((file) => file.endsWith('.tmp') || file === '.making-authority')]).toEqual([failpoint, []])
  home.env['KEYLIME_CA_PASSWORD'] = password
}
