import type { IntegrityQuote } from '../../../core/api/agent.ts'
import type { IdentityQuote } from '../../../core/api/identity-quote.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { splitRawLines } from '../../../core/evidence/raw-lines.ts'
import { IMA_PCR, pcrsOfMask } from '../../../core/tpm/pcr-selection.ts'
import type { ApiReply, ApiRequest } from '../../../io/http/route.ts'
import { takeQuote } from '../../../io/tpm/quote.ts'
import { systemdList } from '../machine/systemd-list.ts'
import type { AgentContext } from './agent-context.ts'
import { encryptionName } from './show-info.ts'

const ALPHANUMERIC = /^[A-Za-z0-9]*$/
const MAX_NONCE = 64
/** A quote for no nonce would answer everybody's question for ever. */
const NO_NONCE = 'No nonce provided'
const BOOT_PCR = 0
/** Characters: names that are not UTF-8 are few. */
const MAX_RAW = 1 << 20

/** `GET /v2.x/quotes/identity`: PCR 16 alone, for the tenant. */
export async function getIdentityQuote(context: AgentContext, request: ApiRequest): Promise<ApiReply> {
  const nonce = requiredQuery(request, 'nonce')
  if (!ALPHANUMERIC.test(nonce)) throw invalid(`Parameters should be strictly alphanumeric: ${nonce}`)
  if (nonce.length > MAX_NONCE) throw invalid(`Nonce is too long (max size ${MAX_NONCE}): ${nonce}`)
  if (nonce === '') throw invalid(NO_NONCE)
  const quote = await quoteOf(context, nonce, [])
  const results: IdentityQuote = { ...quote, ...algorithms(context, request.version), pubkey: context.transport.publicPem }
  return { results }
}

/** `GET /v2.x/quotes/integrity`: the PCRs of the mask and PCR 16, with the logs that explain them, for the verifier (protocol 4.3). */
export async function getIntegrityQuote(context: AgentContext, request: ApiRequest): Promise<ApiReply> {
  const { nonce, pcrs, partial, imaEntry } = readIntegrityQuery(request)
  const quote = await quoteOf(context, nonce, pcrs)
  return {
    results: {
      ...quote,
      ...algorithms(context, request.version),
      ...(partial ? {} : { pubkey: context.transport.publicPem }),
      ...(pcrs.includes(IMA_PCR) ? imaList(context, imaEntry) : {}), // after the quote: the list may be ahead of the PCR, never behind
      ...(pcrs.includes(BOOT_PCR) ? bootList(context) : {}),
      ...(context.bootTime === null ? {} : { boottime: context.bootTime }),
    } satisfies IntegrityQuote,
  }
}

function readIntegrityQuery(request: ApiRequest) {
  const [nonce, mask, partial] = ['nonce', 'mask', 'partial'].map((name) => requiredQuery(request, name)) as [string, string, string]
  if (!ALPHANUMERIC.test(nonce)) throw invalid(`nonce should be strictly alphanumeric: ${nonce}`)
  if (!ALPHANUMERIC.test(mask)) throw invalid(`mask should be strictly alphanumeric: ${mask}`)
  const digits = mask.replace(/^0x/, '')
  const isHex = /^[0-9a-fA-F]+$/.test(digits) && Number.parseInt(digits, 16) <= 0xffffffff
  if (!isHex) throw invalid(`mask should be a hex encoded 32-bit integer: ${mask}`)
  if (nonce.length > MAX_NONCE) throw invalid(`Nonce is too long (max size: ${MAX_NONCE}): ${nonce.length}`)
  if (nonce === '') throw invalid(NO_NONCE)
  if (partial !== '0' && partial !== '1') throw invalid("uri must contain key 'partial' and value '0' or '1'")
  const entry = request.query.get('ima_ml_entry') ?? ''
  const imaEntry = /^\d{1,15}$/.test(entry) ? Number(entry) : 0
  return { nonce, pcrs: pcrsOfMask(Number.parseInt(digits, 16)), partial: partial === '1', imaEntry }
}

/** The text that comes first is what upstream's parser says; the value is cut, it may be anything. */
function requiredQuery(request: ApiRequest, name: string): string {
  const value = request.query.get(name)
  if (value === null) throw invalid(`Query deserialize error: missing field \`${name}\``)
  return value.slice(0, 256)
}

async function quoteOf({ keys, ak, transport, logger }: AgentContext, nonce: string, pcrs: number[]): Promise<{ quote: string }> {
  try {
    return {
      quote: await takeQuote(keys, { nonce: Buffer.from(nonce, 'ascii'), hash: ak.hash, pcrs, transportKeyPem: transport.publicPem }),
    }
  } catch (error) {
    throw unavailable(error as Error, logger)
  }
}

function imaList({ imaLog, logger }: AgentContext, entry: number) {
  try {
    const list = imaLog.read(entry)
    if (!list) return {}
    const { list: text, raw } = splitRawLines(list.text)
    return {
      ima_measurement_list: text,
      ima_measurement_list_entry: list.entry,
      ...(raw === null || raw.length > MAX_RAW ? {} : { ima_measurement_list_raw: raw }),
    }
  } catch (error) {
    throw unavailable(error as Error, logger)
  }
}

function bootList({ bootLog, systemdLog, logger }: AgentContext) {
  try {
    const log = bootLog.read()
    return { ...(log ? { mb_measurement_list: log.toString('base64') } : {}), ...systemdList(systemdLog) }
  } catch (error) {
    logger.warn('cannot read the event log of the firmware', { reason: (error as Error).message })
    return {}
  }
}

const algorithms = ({ ak }: AgentContext, version: string) => ({
  hash_alg: ak.hash,
  enc_alg: encryptionName(ak.kind, version),
  sign_alg: ak.signing,
})

const invalid = (message: string) => new KeylimeError('invalid_request', message)

function unavailable(error: Error, logger: AgentContext['logger']): KeylimeError {
  logger.error(`no quote: ${error.message}`, isKeylimeError(error) && error.hint ? { hint: error.hint } : {})
  return new KeylimeError('tpm_failed', 'Unable to retrieve quote', { cause: error })
}
