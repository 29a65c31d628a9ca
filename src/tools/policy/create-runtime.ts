import { KeylimeError } from '../../core/errors.ts'
import { collectAllowList, digitsOf, expressionsOf } from '../../core/ima/collect-digests.ts'
import { type LeftOut, LogCollector, NOT_ASKED_FOR } from '../../core/ima/collect-log.ts'
import { compileExcludes } from '../../core/ima/excludes.ts'
import { addDigest, addKeys, addPolicy, emptyParts, GENERATOR, type PolicyParts, policyPieces } from '../../core/ima/policy-document.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import { decodeBytes } from '../../core/text/byte-text.ts'
import { decodeText } from '../../core/text/decode-text.ts'
import { readFile, readText } from '../../io/files/read-file.ts'
import { chooseAlgorithm, type Said } from './choose-algorithm.ts'
import type { DigestSource, DigestSourceContext } from './digest-source.ts'
import { readImaKeys } from './read-ima-keys.ts'
import { eachImaLine } from './read-ima-list.ts'
import { type DebFilesOptions, debFiles } from './sources/deb-files.ts'
import { type DebInstalledOptions, debInstalled } from './sources/deb-installed.ts'
import { type DebRepositoryOptions, debRepository } from './sources/deb-repository.ts'
import { type FileTreeOptions, fileTree } from './sources/file-tree.ts'
import { type InitrdOptions, initrdFiles } from './sources/initrd-files.ts'
import { type RpmFilesOptions, rpmFiles } from './sources/rpm-files.ts'
import { type RpmInstalledOptions, rpmInstalled } from './sources/rpm-installed.ts'
import { type RpmRepositoryOptions, rpmRepository } from './sources/rpm-repository.ts'

type SourceOptions = FileTreeOptions &
  InitrdOptions &
  DebInstalledOptions &
  DebFilesOptions &
  DebRepositoryOptions &
  RpmInstalledOptions &
  RpmFilesOptions &
  RpmRepositoryOptions

export interface CreateOptions extends SourceOptions {
  /** Empty: the list of this machine's kernel. */
  log?: string | undefined
  allowlist?: string | undefined
  basePolicy?: string | undefined
  excludeList?: string | undefined
  ignoredKeyrings?: string[] | undefined
  /** Members of the log; undefined is yes. */
  logFiles?: boolean | undefined
  keyrings?: boolean | undefined
  imaBuf?: boolean | undefined
  verificationKeys?: string[] | undefined
  hash?: string | undefined
  /** Digests of names that the excludes match stay in the policy. */
  keepExcluded?: boolean | undefined
  /** No source is no error: an empty policy. */
  mayBeEmpty?: boolean | undefined
}

export const KERNEL_LOG = '/sys/kernel/security/ima/ascii_runtime_measurements'
/** What hashes or reads packages and files; each looks at its own options. */
const SOURCES: readonly DigestSource<CreateOptions>[] = [
  fileTree,
  initrdFiles,
  debInstalled,
  debFiles,
  debRepository,
  rpmInstalled,
  rpmFiles,
  rpmRepository,
]

/** Where a policy that is being made says what it does. */
export type Notes = Pick<DigestSourceContext, 'tell' | 'progress'>

/**
 * The parts of a runtime policy, from all the sources that are given; what the excludes match is left out.
 * @throws KeylimeError `usage` without any source, `conflict` when they use different algorithms, `invalid_request` for a source that is not what it should be.
 */
export async function createRuntimePolicy(options: CreateOptions, notes: Notes): Promise<PolicyParts> {
  const sources = SOURCES.filter((source) => source.isWanted(options))
  if (!options.mayBeEmpty && options.log === undefined && !options.allowlist && !options.basePolicy && sources.length === 0)
    throw new KeylimeError('usage', 'there is nothing to make a policy from', {
      hint: `give --log, --allowlist, --base-policy, ${SOURCES.map((source) => source.flags).join(', ')}`,
    })
  const parts = emptyParts()
  for (const name of options.ignoredKeyrings ?? []) parts.ignoredKeyrings.add(name)
  const said = options.basePolicy ? [await readBase(options.basePolicy, parts)] : []
  if (options.excludeList) for (const expression of expressionsOf(await readText(options.excludeList))) parts.excludes.add(expression)
  addKeys(parts, await readImaKeys(options.verificationKeys ?? []), 'the key')
  if (options.allowlist) said.push(await readAllowList(options.allowlist, parts, notes))
  if (options.log !== undefined) said.push(await readLog(options.log || KERNEL_LOG, options, parts, notes))
  const algorithm = chooseAlgorithm(options.hash, said, sources.length > 0)
  for (const source of sources) await source.collect(options, { ...notes, parts, algorithm })
  const isExcluded = compileExcludes([...parts.excludes], 'excludes')
  if (!options.keepExcluded)
    for (const name of parts.digests.keys()) if (name !== 'boot_aggregate' && isExcluded(name)) parts.digests.delete(name)
  return parts
}

/** The text of what `createRuntimePolicy` gathered, in pieces. @param now milliseconds since the epoch. */
export const createdPieces = (parts: PolicyParts, now: number): Iterable<string> =>
  policyPieces(parts, { timestamp: new Date(now).toISOString(), generator: GENERATOR.made })

/** The same as one text. */
export const createdText = (parts: PolicyParts, now: number): string => [...createdPieces(parts, now)].join('')

/** Lines as `sha256sum` prints them, boot_aggregate first: the allow lists of old. */
export function legacyListText({ digests }: PolicyParts): string {
  const lines = (of: (name: string) => boolean) =>
    [...digests.inOrder()].filter(([name]) => of(name)).flatMap(([name, list]) => list.map((digest) => `${digest}  ${name}\n`))
  return [...lines((name) => name === 'boot_aggregate'), ...lines((name) => name !== 'boot_aggregate')].join('')
}

async function readBase(file: string, parts: PolicyParts): Promise<Said> {
  const text = plainPolicy(await readText(file), { key: null, required: false })
  const json: unknown = JSON.parse(text)
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new KeylimeError('invalid_request', `${file}: is not a runtime policy`)
  addPolicy(parts, json as Record<string, unknown>, file)
  return saidOf(file, parts)
}

async function readAllowList(file: string, parts: PolicyParts, { tell }: Notes): Promise<Said> {
  const list = emptyParts()
  const unread = collectAllowList(decodeText(await readFile(file), decodeBytes), list)
  if (unread.length > 0) tell(`${file}: ${unread.length} lines cannot be read and are left out, the first is line ${unread[0]}`)
  if (list.digests.size === 0 && list.keyrings.size === 0)
    throw new KeylimeError('invalid_request', `${file}: no line is a digest and a path`, { hint: 'sha256sum FILE … makes such lines' })
  for (const [name, digests] of list.digests) for (const digest of digests) addDigest(parts.digests, name, digest)
  for (const [name, digests] of list.keyrings) for (const digest of digests) addDigest(parts.keyrings, name, digest)
  return saidOf(file, list)
}

function saidOf(source: string, { digests }: PolicyParts): Said {
  const digits = digitsOf(digests)
  return { source, algorithm: digits === null ? null : { digits } }
}

/** Adds a log, and tells what of it the policy that is made of it does not accept. */
async function readLog(
  file: string,
  { logFiles = true, keyrings = true, imaBuf = true }: CreateOptions,
  parts: PolicyParts,
  { tell }: Notes,
): Promise<Said> {
  const excluded = compileExcludes([...parts.excludes], 'excludes')
  const collector = new LogCollector(parts, { files: logFiles, keyrings, buffers: imaBuf }, excluded)
  await eachImaLine(file, (line) => collector.add(line), tell)
  const { taken, logHash, algorithm, leftOut } = collector.end()
  if (taken === 0 && leftOut.length === 0)
    throw new KeylimeError('invalid_request', `${file}: is empty: no kernel has such a list`, { hint: `only root can read ${KERNEL_LOG}` })
  const unwanted = leftOut.filter(({ reason }) => !reason.endsWith(NOT_ASKED_FOR))
  for (const left of unwanted) tell(`${file}: ${leftOutText(left)}`)
  if (taken === 0 && unwanted.length > 0 && unwanted.length === leftOut.length)
    throw new KeylimeError('invalid_request', `${file}: no line of it can go into a policy`, {
      hint: `a list has lines like those of ${KERNEL_LOG}`,
    })
  if (logHash) addPolicy(parts, { ima: { log_hash_alg: logHash } }, file)
  return { source: file, algorithm: logFiles ? algorithm : null }
}

function leftOutText({ reason, count, line, name }: LeftOut): string {
  const first = `${name === null ? '' : `${JSON.stringify(name.slice(0, 200))}, `}line ${line}`
  return `${count} ${count === 1 ? 'line' : 'lines'}: ${reason} (${count === 1 ? '' : 'the first: '}${first})`
}
