import { KeylimeError } from '../../core/errors.ts'
import { addDigest, type Collected, collectAllowList, collectLog, emptyCollection, policyDocument } from '../../core/ima/collect-digests.ts'
import { compileExcludes } from '../../core/ima/excludes.ts'
import { type Digests, parseRuntimePolicy } from '../../core/ima/runtime-policy.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import { hashFiles } from './hash-files.ts'
import { readTextInput } from './read-input.ts'

export interface CreateOptions {
  log?: string | undefined
  allowlist?: string | undefined
  basePolicy?: string | undefined
  rootfs?: string | undefined
  excludeList?: string | undefined
  ignoredKeyrings?: string[] | undefined
  hash: string
}

/**
 * Text of a runtime policy from all the sources that are given; what the excludes match is left out. @param tell for notes to people.
 * @throws KeylimeError `usage` without any source, `invalid_request` for a source that is not what it should be.
 */
export async function createRuntimePolicy(options: CreateOptions, now: number, tell: (note: string) => void): Promise<string> {
  if (!options.log && !options.allowlist && !options.basePolicy && !options.rootfs)
    throw new KeylimeError('usage', 'a policy is made of something', { hint: 'give --log, --allowlist, --base-policy or --rootfs' })
  const collected = emptyCollection()
  const base = options.basePolicy ? await readBase(options.basePolicy, collected) : { excludes: [], ignored: [], logHash: 'sha1', keys: '' }
  const unread = (file: string, lines: number[]) => {
    if (lines.length > 0) tell(`${file}: ${lines.length} lines cannot be read and are left out, the first is line ${lines[0]}`)
  }
  if (options.log) unread(options.log, collectLog(await readTextInput(options.log), collected))
  if (options.allowlist) unread(options.allowlist, collectAllowList(await readTextInput(options.allowlist), collected))
  if (options.rootfs) await addFiles(options.rootfs, options.hash, collected, tell)
  const listed = options.excludeList ? expressionsOf(await readTextInput(options.excludeList)) : []
  const excludes = [...new Set([...base.excludes, ...listed])]
  const isExcluded = compileExcludes(excludes, 'excludes')
  for (const name of collected.digests.keys()) if (name !== 'boot_aggregate' && isExcluded(name)) collected.digests.delete(name)
  const ignoredKeyrings = [...new Set([...base.ignored, ...(options.ignoredKeyrings ?? [])])]
  const timestamp = new Date(now).toISOString()
  const document = policyDocument({ collected, excludes, ignoredKeyrings, logHash: base.logHash, verificationKeys: base.keys, timestamp })
  const text = `${JSON.stringify(document, null, 1)}\n`
  parseRuntimePolicy(text) // what we make is what the verifier takes
  return text
}

/** One expression a line; empty lines and comments do not count. */
const expressionsOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))

async function readBase(file: string, into: Collected) {
  const text = plainPolicy(await readTextInput(file), { key: null, required: false })
  const policy = parseRuntimePolicy(text)
  const add = (to: Map<string, Set<string>>, from: Digests) => {
    for (const [name, list] of from) for (const digest of typeof list === 'string' ? [list] : list) addDigest(to, name, digest)
  }
  add(into.digests, policy.digests)
  add(into.keyrings, policy.keyrings)
  add(into.buffers, policy.buffers)
  const { excludes, 'verification-keys': keys } = JSON.parse(text) as { excludes: string[]; 'verification-keys': string }
  return { excludes, ignored: [...policy.ignoredKeyrings], logHash: policy.logHash, keys }
}

async function addFiles(root: string, hash: string, collected: Collected, tell: (note: string) => void): Promise<void> {
  const { digests, unreadable } = await hashFiles(root, hash, (count) => tell(`${count} files`))
  if (digests.size === 0) throw new KeylimeError('not_found', `there are no files that can be read below ${root}`)
  for (const [name, digest] of digests) addDigest(collected.digests, name, digest)
  if (unreadable.length > 0) tell(`${unreadable.length} files cannot be read and are left out, the first is ${unreadable[0]}`)
}
