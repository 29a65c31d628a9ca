import assert from 'node:assert/strict'
import { readEntry } from '../../../src/core/ima/entry.ts'
import { FRESH_IMA, type ImaPolicy } from '../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../src/core/ima/runtime-policy.ts'
import { HASH_NAMES } from '../../../src/core/tpm/algorithms.ts'
import { nativePcrReplay } from '../../../src/io/native/pcr-replay.ts'
import { nativeVerifyDigest } from '../../../src/io/native/verify-digest.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, pcr10After, quotedPcr10, runtimePolicy } from '../../ima.ts'
import { demand, type Target } from '../target.ts'

/** The replay of the native addon is only for lists of some length. */
const LONG_LINE = imaLine(`ima-ng sha256:${'33'.repeat(32)} /var/${'x'.repeat(9000)}`)
let judges: { plain: ImaPolicy; native: ImaPolicy } | undefined

/**
 * A measurement list: the replay and the signatures of the native addon give the verdict of those in TypeScript; read in two pieces it is judged as in one.
 * The first byte chooses the bank, and how much of the list the TPM has seen.
 */
export const imaLog: Target = {
  seeds: () => {
    const lines = [
      BOOT_AGGREGATE,
      imaLine('ima-ng sha256:1111 /bin/a'),
      ...imaVector('keyring.txt').toString().trim().split('\n'),
      ...imaVector('signatures.txt').toString().trim().split('\n'),
    ]
    return [0, 1, 2, 67, 255].map((first) => Buffer.concat([Buffer.from([first]), Buffer.from(`${lines.join('\n')}\n`)]))
  },
  run(input) {
    const first = input[0] ?? 0
    const hash = HASH_NAMES[first & 3]!
    const list = input.toString('utf8', 1)
    const lines = list.split('\n').filter((line) => line !== '')
    const seen = lines.slice(0, lines.length - ((first >> 2) % (lines.length + 1))).filter((line) => typeof readEntry(line) === 'object')
    const quoted = quotedPcr10(pcr10After(seen, hash), hash)
    const { plain, native } = policies()
    const whole = { pcrs: quoted, list: `${list}\n${LONG_LINE}\n`, progress: FRESH_IMA, bootAggregates: [] }
    const verdict = plain.judge(whole)
    assert.deepEqual(native.judge(whole), verdict)
    demand(verdict.failures.length > 0 || lines[0]?.includes('boot_aggregate') === true, 'a log without boot_aggregate passes')
    if (verdict.failures.length > 0) return
    const middle = Math.ceil(seen.length / 2)
    const head = plain.judge({
      ...whole,
      pcrs: quotedPcr10(pcr10After(seen.slice(0, middle), hash), hash),
      list: seen.slice(0, middle).join('\n'),
    })
    if (head.failures.length > 0) throw new Error('a good log does not pass in two pieces')
    const tail = plain.judge({ ...whole, list: seen.slice(middle).join('\n'), progress: { ...head.progress, lastMatch: null } })
    assert.deepEqual([tail.failures, tail.progress.pcr10], [[], verdict.progress.pcr10])
  },
}

function policies() {
  judges ??= makeJudges()
  return judges
}

function makeJudges() {
  const policy = parseRuntimePolicy(
    runtimePolicy({
      digests: { boot_aggregate: ['b0'.repeat(32)], '/bin/a': ['11'.repeat(32)] },
      excludes: ['/var/.*'],
      keyrings: { '.ima': ['a7d52aaa18c23d2d9bb2abb4308c0eeee67387a42259f4a6b1a42257065f3d5a'] },
    }),
  )
  return { plain: imaPolicy(policy, false), native: imaPolicy(policy, false, nativePcrReplay, nativeVerifyDigest) }
}
