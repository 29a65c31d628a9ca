import {
  capabilitiesOf,
  IMA_LOG,
  type LogCapabilities,
  type LogParameters,
  type Negotiation,
  type QuoteCapabilities,
  type QuoteParameters,
  TPM_QUOTE,
  UEFI_LOG,
} from '../api/push/attestation.ts'
import { DELIVERY, type DeliveryParameters, deliveryCapabilities } from '../api/push/delivery.ts'
import type { JsonApiError } from '../api/push/json-api.ts'
import type { AskedEvidence } from '../evidence/read-evidence-v3.ts'
import { type AgentPolicy, quotedPcrs } from '../policy/agent-policy.ts'
import type { PublicArea } from '../tpm/public-area.ts'
import { cutText } from '../verdict/bounded-text.ts'
import { type AcceptedAlgorithms, isAccepted } from './accepted-algorithms.ts'
import { akAlgorithms } from './ak-algorithms.ts'

/** What is known of a machine that says what it can prove. */
export interface ChoosingFacts {
  /** As enrolled. No key of the machine's own words ever takes its place. */
  ak: PublicArea
  accepted: AcceptedAlgorithms
  policy: AgentPolicy
  /** Entry of the measurement list with which its evidence goes on; 0 after a reboot that is known already. */
  nextEntry: number
  /** 16 bytes, never used before. */
  challenge: Buffer
  /** What was ordered for it and is not finished; null for nothing. */
  delivery?: DeliveryParameters | null | undefined
}

export type RequestedEvidence =
  | (typeof TPM_QUOTE & { chosen_parameters: QuoteParameters })
  | ((typeof IMA_LOG | typeof UEFI_LOG) & { chosen_parameters: LogParameters })
  | (typeof DELIVERY & { chosen_parameters: DeliveryParameters })

export type Choice = { ok: true; asked: AskedEvidence; requested: RequestedEvidence[] } | { ok: false; errors: JsonApiError[] }

type Offered = Negotiation['data']['attributes']['evidence_supported']

const SUPPORTED = '/data/attributes/evidence_supported'
/** Names of banks are the machine's, and errors are stored when it falls silent. */
const MAX_TEXT = 300
const IMA_FORMAT = 'text/plain'
const BOOT_FORMAT = 'application/octet-stream'

/**
 * Chooses what a machine has to bring: always a quote, over the PCRs that its policies need and PCR 16, by the scheme and the hash of its enrolled key; the logs that its policies
 * read; how an unfinished delivery goes, of a machine that can say it. @returns errors with the member that is meant where the machine cannot prove what it must.
 */
export function chooseEvidence(offered: Offered, facts: ChoosingFacts): Choice {
  const errors: JsonApiError[] = []
  const refuse = (pointer: string, detail: string): undefined =>
    void errors.push({ status: 422, code: 'invalid_resource_data', detail: cutText(detail, MAX_TEXT), pointer: cutText(pointer, MAX_TEXT) })
  const algorithms = akAlgorithms(facts.ak)
  for (const text of unaccepted(algorithms, facts.accepted)) refuse(SUPPORTED, text)
  const quote = take(offered, 'tpm_quote', refuse)
  const requested: RequestedEvidence[] = []
  if (quote) {
    const pcrs = quotedPcrs(facts.policy)
    for (const [member, text] of quoteDefects(quote.capabilities, algorithms, pcrs)) refuse(`${quote.pointer}/${member}`, text)
    const key = certificationKey(quote.capabilities, facts.ak)
    if (!key) refuse(`${quote.pointer}/certification_keys`, 'the enrolled attestation key is not among certification_keys')
    requested.push({ ...TPM_QUOTE, chosen_parameters: quoteParameters(quote.capabilities, { ...facts, algorithms, pcrs, key }) })
  }
  const boot = facts.policy.boot ? take(offered, 'uefi_log', refuse) : undefined
  if (boot) requested.push({ ...UEFI_LOG, chosen_parameters: { format: formatOf(boot, BOOT_FORMAT, refuse) } })
  const ima = facts.policy.ima ? take(offered, 'ima_log', refuse) : undefined
  const imaOffset = ima ? startingOffset(ima.capabilities, facts.nextEntry) : null
  if (ima) requested.push({ ...IMA_LOG, chosen_parameters: { starting_offset: imaOffset, format: formatOf(ima, IMA_FORMAT, refuse) } })
  if (errors.length > 0) return { ok: false, errors }
  const delivery = facts.delivery && takesDelivery(offered)
  if (facts.delivery && delivery) {
    const { enrolment, generation } = facts.delivery
    requested.push({ ...DELIVERY, chosen_parameters: { enrolment, generation } })
  }
  return { ok: true, asked: { algorithms, imaOffset, bootLog: boot !== undefined, ...(delivery ? { delivery } : {}) }, requested }
}

/** One that does not is attested all the same: upstream's agents know no deliveries. */
const takesDelivery = (offered: Offered): boolean =>
  offered.some(
    ({ evidence_class, evidence_type, capabilities }) =>
      evidence_class === DELIVERY.evidence_class &&
      evidence_type === DELIVERY.evidence_type &&
      deliveryCapabilities.safeParse(capabilities).success,
  )

type Refuse = (pointer: string, detail: string) => undefined

interface Taken<C> {
  capabilities: C
  pointer: string
}

function take<T extends keyof typeof capabilitiesOf>(
  offered: Offered,
  type: T,
  refuse: Refuse,
): Taken<T extends 'tpm_quote' ? QuoteCapabilities : LogCapabilities> | undefined {
  const index = offered.findIndex(({ evidence_type }) => evidence_type === type)
  if (index < 0) return refuse(SUPPORTED, `evidence of type ${type} is needed, and is not among evidence_supported`)
  const pointer = `${SUPPORTED}/${index}/capabilities`
  const { data, error } = capabilitiesOf[type].safeParse(offered[index]!.capabilities)
  if (!error) return { capabilities: data as never, pointer }
  const [issue] = error.issues
  return refuse([pointer, ...(issue?.path ?? [])].join('/'), `Attribute '${issue?.path.join('.') ?? ''}' ${issue?.message ?? ''}`)
}

function unaccepted({ hash, encryption, signing }: AskedEvidence['algorithms'], accepted: AcceptedAlgorithms): string[] {
  const text = (what: string, name: string, list: readonly string[]) =>
    isAccepted(name, list) ? [] : [`the ${what} ${name} of the attestation key is not accepted (${list.join(', ')})`]
  return [
    ...text('hash algorithm', hash, accepted.hash),
    ...text('kind', encryption, accepted.encryption),
    ...text('signature scheme', signing, accepted.signing),
  ]
}

/** Of a quote by that key over these PCRs: members, and what is wrong with them. */
function quoteDefects(
  { hash_algorithms: hashes, signature_schemes: schemes, available_subjects: banks }: QuoteCapabilities,
  { hash, signing }: AskedEvidence['algorithms'],
  pcrs: readonly number[],
): [member: string, text: string][] {
  const defects: [string, string][] = []
  if (!hashes.includes(hash)) defects.push(['hash_algorithms', `${hash}, the hash of the attestation key, is not among hash_algorithms`])
  if (!schemes.includes(signing))
    defects.push(['signature_schemes', `${signing}, the scheme of the attestation key, is not among signature_schemes`])
  const bank = Object.hasOwn(banks, hash) ? banks[hash]! : []
  const missing = pcrs.filter((pcr) => !bank.includes(pcr))
  if (missing.length > 0) defects.push(['available_subjects', `PCR ${missing.join(', ')} of bank ${hash} is needed, and not available`])
  return defects
}

type Key = QuoteCapabilities['certification_keys'][number]

/** A machine that does not show its key may still have the one that is enrolled: its signature says so. */
function certificationKey({ certification_keys: keys }: QuoteCapabilities, ak: PublicArea): Key | undefined {
  return keys.find((key) => key.public && isSame(key.public, ak)) ?? keys.find((key) => !key.public && key.server_identifier === 'ak')
}

/** With the size that a TPM2B_PUBLIC begins with, or without it. */
function isSame(given: string, { bytes }: PublicArea): boolean {
  const shown = Buffer.from(given, 'base64')
  return shown.equals(bytes) || (shown.length === bytes.length + 2 && shown.subarray(2).equals(bytes))
}

interface QuoteFacts extends Pick<ChoosingFacts, 'challenge'> {
  algorithms: AskedEvidence['algorithms']
  pcrs: readonly number[]
  key: Key | undefined
}

function quoteParameters(
  { available_subjects: banks }: QuoteCapabilities,
  { algorithms, pcrs, key, challenge }: QuoteFacts,
): QuoteParameters {
  const { hash, signing } = algorithms
  const named = key && wholeKey(key)
  return {
    signature_scheme: signing,
    challenge: challenge.toString('base64'),
    hash_algorithm: hash,
    selected_subjects: Object.fromEntries(Object.keys(banks).map((bank) => [bank, bank === hash ? [...pcrs] : null])),
    ...(named ? { certification_key: named } : {}),
  }
}

/** As it was offered; agents read it only when nothing is missing. */
function wholeKey({ key_class, key_algorithm, key_size, server_identifier, local_identifier, public: area }: Key): Key | undefined {
  const named = { key_class, key_algorithm, key_size, server_identifier, local_identifier, public: area }
  return Object.values(named).every((value) => value !== undefined && value !== null) ? named : undefined
}

function formatOf({ capabilities: { formats }, pointer }: Taken<LogCapabilities>, wanted: string, refuse: Refuse): string {
  if (formats && !formats.includes(wanted)) refuse(`${pointer}/formats`, `the format ${wanted} is needed`)
  return wanted
}

/** A list that is shorter than what was judged of it is that of another boot. */
function startingOffset({ entry_count: count, supports_partial_access: partial }: LogCapabilities, nextEntry: number): number {
  const canGoOn = partial !== false && count !== undefined && count !== null && count >= nextEntry
  return canGoOn ? nextEntry : 0
}
