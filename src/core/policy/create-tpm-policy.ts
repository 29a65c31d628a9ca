import { KeylimeError } from '../errors.ts'
import { DATA_PCR, IMA_PCR, PCR_COUNT, pcrsOfMask } from '../tpm/pcr-selection.ts'
import { parseTpmPolicy } from './tpm-policy.ts'

/** PCRs of `0,1,7` or of a mask such as `0x83`, ascending. @throws KeylimeError `usage`: 10 and 16 cannot be in a static policy. */
export function readPcrList(list: string | undefined, mask: string | undefined): number[] {
  if ((list === undefined) === (mask === undefined))
    throw new KeylimeError('usage', 'which PCRs should be in the policy?', { hint: 'give --pcrs-list 0,1,7 or --mask 0x83' })
  if (mask !== undefined && !/^(0x)?[0-9a-fA-F]{1,6}$/.test(mask))
    throw new KeylimeError('usage', `"${mask}" is not a hexadecimal set of ${PCR_COUNT} PCRs`)
  const numbers = list === undefined ? pcrsOfMask(Number.parseInt(mask!, 16)) : list.split(',').map((text) => pcrNumber(text.trim()))
  if (numbers.length === 0) throw new KeylimeError('usage', 'the set of PCRs is empty')
  if (numbers.includes(IMA_PCR))
    throw new KeylimeError('usage', `PCR ${IMA_PCR} grows with everything that runs: no fixed value of it can be expected`, {
      hint: 'a runtime policy judges it: keylime policy create runtime',
    })
  if (numbers.includes(DATA_PCR))
    throw new KeylimeError('usage', `PCR ${DATA_PCR} binds the transport key of each quote: no fixed value of it can be expected`)
  return [...new Set(numbers)].sort((a, b) => a - b)
}

function pcrNumber(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) < PCR_COUNT) return Number(text)
  throw new KeylimeError('usage', `"${text}" is not a PCR number (0 to ${PCR_COUNT - 1})`)
}

/** The tpm_policy that accepts exactly these values. @throws KeylimeError `not_found` for a PCR whose value is not there. */
export function createTpmPolicy(values: ReadonlyMap<number, Buffer>, pcrs: readonly number[]): { policy: string; unmeasured: number[] } {
  const missing = pcrs.filter((pcr) => !values.has(pcr))
  if (missing.length > 0) throw new KeylimeError('not_found', `there is no value of PCR ${missing.join(', ')} in what was given`)
  const policy = `${JSON.stringify(Object.fromEntries(pcrs.map((pcr) => [String(pcr), [values.get(pcr)!.toString('hex')]])))}\n`
  parseTpmPolicy(policy)
  const unmeasured = pcrs.filter((pcr) => values.get(pcr)!.every((byte) => byte === 0) || values.get(pcr)!.every((byte) => byte === 0xff))
  return { policy, unmeasured }
}
