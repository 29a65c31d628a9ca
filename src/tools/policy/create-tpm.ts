import { createPublicKey } from 'node:crypto'
import { KeylimeError } from '../../core/errors.ts'
import { createTpmPolicy, readPcrList } from '../../core/policy/create-tpm-policy.ts'
import { parseQuote } from '../../core/quote/quote-text.ts'
import { verifyQuote } from '../../core/quote/verify-quote.ts'
import { HASH_NAMES, type HashName, isHashName } from '../../core/tpm/algorithms.ts'
import { type PublicArea, parsePublicArea } from '../../core/tpm/public-area.ts'
import { readFile, readText } from '../../io/files/read-file.ts'
import { openTpm } from '../../io/tpm/open-tpm.ts'
import { readPcrFile } from './pcr-files.ts'

export interface TpmCreateOptions {
  pcrsList?: string | undefined
  mask?: string | undefined
  bank: string
  pcrs?: string | undefined
  quote?: string | undefined
  ak?: string | undefined
  tcti?: string | undefined
}

/** Text of a tpm_policy for PCRs of a file, of a quote, or of this machine's TPM. @throws KeylimeError `usage`, `unauthorized` for a quote that is not of the key. */
export async function createTpm(options: TpmCreateOptions, tell: (note: string) => void): Promise<string> {
  const { bank, pcrs: file, quote, tcti } = options
  if (!isHashName(bank)) throw new KeylimeError('usage', `${bank} is not a PCR bank`, { hint: 'sha1, sha256, sha384 or sha512' })
  const given = [file, quote, tcti].filter((source) => source !== undefined)
  if (given.length > 1)
    throw new KeylimeError('usage', 'PCRs can come from only one source', { hint: 'give one of --pcrs, --quote and --tcti' })
  if (options.ak !== undefined && quote === undefined)
    throw new KeylimeError('usage', '--ak verifies a quote, but there is none', { hint: 'give --quote FILE' })
  const pcrs = readPcrList(options.pcrsList, options.mask)
  const values = file
    ? await readPcrFile(file, bank, pcrs, tell)
    : quote
      ? await quotedPcrs(quote, bank, options.ak, tell)
      : await ownPcrs(tcti, bank, pcrs)
  const { policy, unmeasured } = createTpmPolicy(values, pcrs)
  if (unmeasured.length > 0) tell(`warning: nothing was measured into PCR ${unmeasured.join(', ')}: this value matches any machine`)
  return policy
}

async function quotedPcrs(
  file: string,
  bank: HashName,
  ak: string | undefined,
  tell: (note: string) => void,
): Promise<ReadonlyMap<number, Buffer>> {
  const text = (await readText(file)).trim()
  const quote = parseQuote(text)
  if (quote.pcrs.hash !== bank)
    throw new KeylimeError('invalid_request', `${file}: is a quote of bank ${quote.pcrs.hash}`, { hint: `give --bank ${quote.pcrs.hash}` })
  if (ak === undefined) {
    tell('warning: the quote’s signature was not checked (--ak FILE does): its values may be anyone’s')
    return quote.pcrs.values
  }
  const verdict = verifyQuote(text, { ak: await readAk(ak), nonce: quote.attest.extraData, hash: bank, pcrs: null })
  if (verdict.ok) return verdict.pcrs.values
  throw new KeylimeError('unauthorized', `${file}: ${verdict.failures.map(({ context }) => context.message).join('; ')}`)
}

/** PEM, or the TPM’s own form, as `tpm2_createak -u` writes it. */
async function readAk(file: string): Promise<Pick<PublicArea, 'type' | 'key'>> {
  const bytes = await readFile(file)
  if (!bytes.includes('-----BEGIN')) return parsePublicArea(bytes)
  try {
    const key = createPublicKey(bytes)
    return { key, type: key.asymmetricKeyType === 'ec' ? 'ecc' : 'rsa' }
  } catch (cause) {
    throw new KeylimeError('invalid_request', `${file}: is not the PEM of a public key`, { cause })
  }
}

async function ownPcrs(tcti: string | undefined, bank: HashName, pcrs: readonly number[]): Promise<Map<number, Buffer>> {
  const tpm = await openTpm({ tcti: tcti ?? process.env['TCTI'], flushLeaked: false })
  try {
    const values = await tpm.pcrRead(bank, pcrs)
    if (values.size === pcrs.length) return values
    const banks = []
    for (const other of HASH_NAMES) if ((await tpm.pcrRead(other, pcrs)).size === pcrs.length) banks.push(other)
    throw new KeylimeError(
      'invalid_request',
      `the TPM has no PCRs of bank ${bank}${banks.length > 0 ? `, but of ${banks.join(', ')}` : ''}`,
      {
        hint:
          banks.length > 0 ? `give --bank ${banks.at(-1)}, and make the agent quote it: tpm_hash_alg` : 'allocate it with tpm2_pcrallocate',
      },
    )
  } finally {
    tpm.close()
  }
}
