import { KeylimeError } from '../../core/errors.ts'
import { algorithmOfDigests, algorithmOfLog, collectAllowList, collectLog, expressionsOf } from '../../core/ima/collect-digests.ts'
import { compileExcludes } from '../../core/ima/excludes.ts'
import { addKeys, addPolicy, emptyParts, GENERATOR, type PolicyParts, policyText } from '../../core/ima/policy-document.ts'
import { plainPolicy } from '../../core/ima/signed-policy.ts'
import { readText } from '../../io/files/read-file.ts'
import { chooseAlgorithm } from './choose-algorithm.ts'
import type { DigestSource, DigestSourceContext } from './digest-source.ts'
import { readImaKeys } from './read-ima-keys.ts'
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
    throw new KeylimeError('usage', 'a policy is made of something', {
      hint: `give --log, --allowlist, --base-policy, ${SOURCES.map((source) => source.flags).join(', ')}`,
    })
  const parts = emptyParts()
  for (const name of options.ignoredKeyrings ?? []) parts.ignoredKeyrings.add(name)
  const said = await readLists(options, parts, notes)
  const algorithm = chooseAlgorithm(options.hash, said)
  for (const source of sources) await source.collect(options, { ...notes, parts, algorithm })
  if (options.excludeList) for (const expression of expressionsOf(await readText(options.excludeList))) parts.excludes.add(expression)
  const isExcluded = compileExcludes([...parts.excludes], 'excludes')
  if (!options.keepExcluded)
    for (const name of parts.digests.keys()) if (name !== 'boot_aggregate' && isExcluded(name)) parts.digests.delete(name)
  addKeys(parts, await readImaKeys(options.verificationKeys ?? []), 'the key')
  return parts
}

/** The text of what `createRuntimePolicy` gathered. @param now milliseconds since the epoch. */
export const createdText = (parts: PolicyParts, now: number): string =>
  policyText(parts, { timestamp: new Date(now).toISOString(), generator: GENERATOR.made })

/** Lines as `sha256sum` prints them, boot_aggregate first: the allow lists of old. */
export function legacyListText({ digests }: PolicyParts): string {
  const names = [...digests.keys()].sort()
  const first = names.filter((name) => name === 'boot_aggregate')
  const ordered = [...first, ...names.filter((name) => name !== 'boot_aggregate')]
  return ordered.flatMap((name) => [...digests.get(name)!].sort().map((digest) => `${digest}  ${name}\n`)).join('')
}

/** Adds base policy, allow list and log. @returns which algorithm each of them says. */
async function readLists(
  options: CreateOptions,
  parts: PolicyParts,
  { tell }: Notes,
): Promise<[source: string, algorithm: string | null][]> {
  const said: [string, string | null][] = []
  const unread = (file: string, lines: number[]) => {
    if (lines.length > 0) tell(`${file}: ${lines.length} lines cannot be read and are left out, the first is line ${lines[0]}`)
  }
  if (options.basePolicy) {
    addPolicy(parts, await readBase(options.basePolicy), options.basePolicy)
    said.push([options.basePolicy, algorithmOfDigests(parts.digests)])
  }
  if (options.allowlist) {
    const list = emptyParts()
    unread(options.allowlist, collectAllowList(await readText(options.allowlist), list))
    if (list.digests.size === 0 && list.keyrings.size === 0)
      throw new KeylimeError('invalid_request', `${options.allowlist}: no line is a digest and a path`, {
        hint: 'sha256sum FILE … makes such lines',
      })
    said.push([options.allowlist, algorithmOfDigests(list.digests)])
    for (const [name, set] of list.digests) parts.digests.set(name, new Set([...(parts.digests.get(name) ?? []), ...set]))
    for (const [name, set] of list.keyrings) parts.keyrings.set(name, new Set([...(parts.keyrings.get(name) ?? []), ...set]))
  }
  if (options.log !== undefined) {
    const file = options.log || KERNEL_LOG
    const log = await readText(file)
    if (options.logFiles ?? true) said.push([file, algorithmOfLog(log)])
    unread(
      file,
      collectLog(log, parts, { files: options.logFiles ?? true, keyrings: options.keyrings ?? true, buffers: options.imaBuf ?? true }),
    )
  }
  return said
}

async function readBase(file: string): Promise<Record<string, unknown>> {
  const text = plainPolicy(await readText(file), { key: null, required: false })
  const json: unknown = JSON.parse(text)
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>
  throw new KeylimeError('invalid_request', `${file}: is not a runtime policy`)
}
