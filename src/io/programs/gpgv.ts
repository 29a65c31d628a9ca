import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { isKeybox, openPgpKeys } from '../../core/packages/openpgp-keys.ts'

export interface Signed {
  data: Buffer
  /** Detached, binary or in armor; null when it is in the data (`InRelease`). */
  signature: Buffer | null
  /** Files of OpenPGP keys: binary, in armor or keyboxes. */
  keys: readonly Buffer[]
}

export type SignatureVerdict =
  /** `content` is what was signed, and all of it. */
  | { outcome: 'good'; signer: string; content: Buffer }
  /** The data were changed, or the key was revoked. */
  | { outcome: 'bad'; reason: string }
  /** Neither: nobody here can say. */
  | { outcome: 'unproved'; reason: string }

const TIME_LIMIT_MS = 60_000
const MAX_OUTPUT = 1 << 20
/** Hash algorithms of OpenPGP for which collisions can be made: MD5, SHA-1, RIPEMD-160 (RFC 9580, section 9.5). */
const WEAK_HASHES = new Set(['1', '2', '3'])

/** Has GnuPG's `gpgv` verify a signature, in a directory of its own: no keys of the user count. Never throws for what is signed. */
export async function verifySignature({ data, signature, keys }: Signed, env: NodeJS.ProcessEnv): Promise<SignatureVerdict> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'keylime-gpgv-'))
  try {
    const file = (name: string) => path.join(dir, name)
    const keyrings = await writeKeyrings(dir, keys)
    await fs.writeFile(file('data'), data)
    if (signature) await fs.writeFile(file('signature'), signature)
    const what = signature ? [file('signature'), file('data')] : ['--output', file('content'), file('data')]
    const status = await run(['--status-fd', '1', '--homedir', dir, ...keyrings.flatMap((name) => ['--keyring', name]), ...what], env)
    if (status === null) return { outcome: 'unproved', reason: 'the program gpgv is not installed' }
    return await judge(status, () => (signature ? Promise.resolve(data) : fs.readFile(file('content'))))
  } finally {
    await fs.rm(dir, { recursive: true, force: true })
  }
}

/** Keyboxes stay files of their own; all other keys go into one. */
async function writeKeyrings(dir: string, keys: readonly Buffer[]): Promise<string[]> {
  const boxes = keys.filter(isKeybox)
  const packets = Buffer.concat(keys.filter((key) => !isKeybox(key)).flatMap((key) => openPgpKeys(key) ?? []))
  const files = [packets, ...boxes].map((bytes, i) => ({ name: path.join(dir, `${i}.gpg`), bytes }))
  for (const { name, bytes } of files) await fs.writeFile(name, bytes)
  return files.map(({ name }) => name)
}

/** The lines for machines; null without the program. Its exit code says less: it is an error too that one signer of several is unknown. */
function run(args: string[], env: NodeJS.ProcessEnv): Promise<string | null> {
  const options = { env: { ...env, LC_ALL: 'C' }, timeout: TIME_LIMIT_MS, maxBuffer: MAX_OUTPUT } as const
  return new Promise((resolve) => {
    execFile('gpgv', args, options, (error, stdout) => resolve((error as NodeJS.ErrnoException | null)?.code === 'ENOENT' ? null : stdout))
  })
}

/** One good signature is enough, and one bad one too much; a repository is often signed by several keys. */
async function judge(status: string, content: () => Promise<Buffer>): Promise<SignatureVerdict> {
  const lines = [...status.matchAll(/^\[GNUPG:\] ([A-Z_]+) ?(.*)$/gm)].map(([, word, rest]) => ({ word: word!, rest: rest! }))
  const of = (word: string) => lines.find((line) => line.word === word)?.rest
  const keyIn = (rest: string) => rest.replace(/^(\S+) ?(.*)$/, (_all, id: string, name: string) => (name ? `${name} (${id})` : id))
  if (of('BADSIG') !== undefined) return { outcome: 'bad', reason: `the signature of ${keyIn(of('BADSIG')!)} does not fit: it was changed` }
  if (of('ERROR')?.startsWith('proc_pkt.plaintext')) return { outcome: 'bad', reason: 'it has more than one signed text' }
  if (of('REVKEYSIG') !== undefined) return { outcome: 'bad', reason: `the key of ${keyIn(of('REVKEYSIG')!)} was revoked` }
  const good = lines.flatMap(({ word, rest }, i) => (word === 'GOODSIG' ? [{ rest, valid: lines.slice(i).find(isValid)?.rest ?? '' }] : []))
  const strong = good.find(({ valid }) => valid !== '' && !WEAK_HASHES.has(valid.split(' ')[7]!))
  if (strong) return { outcome: 'good', signer: keyIn(strong.rest), content: await content() }
  return { outcome: 'unproved', reason: unproved(of, good.length > 0, keyIn) }
}

const isValid = ({ word }: { word: string }): boolean => word === 'VALIDSIG'

function unproved(of: (word: string) => string | undefined, weak: boolean, keyIn: (rest: string) => string): string {
  if (weak) return 'its signature is over a digest for which collisions can be made'
  const expired = of('EXPKEYSIG') ?? of('EXPSIG')
  if (expired !== undefined) return `the key or the signature of ${keyIn(expired)} has expired`
  const unknown = of('NO_PUBKEY')
  return unknown === undefined ? 'it has no signature that gpgv can read' : `the key ${unknown} that signed it is in no keyring`
}
