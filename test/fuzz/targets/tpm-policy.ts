import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

const D = '11'.repeat(32)

/** Static PCR policies: no PCR that belongs to somebody else, and a digest is a digest. */
export const tpmPolicy: Target = {
  seeds: () => [
    text(`{"15": "${D}", "22": ["${D}", "${D.slice(0, 40)}"], "mask": "0x408000"}`),
    text('{}'),
    text(`{"16": "${D}"}`),
    text(`{"10": "${D}"}`),
    text('{"mask": "0x1000000"}'),
    text(''),
    text(`{"0": ["${D}${D}"]}`),
  ],
  words: ['"mask"', '"10"', '"16"', '"0x', D, '"__proto__"'],
  run(input) {
    const policy = unlessRefused(['invalid_request'], () => parseTpmPolicy(input.toString('utf8')))
    if (!policy) return
    demand(Number.isInteger(policy.mask) && policy.mask >= 0 && policy.mask < 2 ** 24, `the mask is ${policy.mask}`)
    for (const [pcr, digests] of policy.allowed) {
      demand(pcr >= 0 && pcr < 24 && pcr !== 10 && pcr !== 16, `PCR ${pcr} is in a policy`)
      demand(
        digests.every((digest) => /^(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(digest)),
        'a value is no digest',
      )
    }
    const { mask, allowed } = policy
    const again = parseTpmPolicy(JSON.stringify({ ...Object.fromEntries(allowed), mask: `0x${mask.toString(16)}` }))
    demand(
      JSON.stringify([again.mask, inOrder(again.allowed)]) === JSON.stringify([mask, inOrder(allowed)]),
      'written again it is another policy',
    )
  },
}

const inOrder = (allowed: ReadonlyMap<number, readonly string[]>) => [...allowed].toSorted(([a], [b]) => a - b)
