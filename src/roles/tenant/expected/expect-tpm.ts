import { isAgentId } from '../../../core/api/agent-id.ts'
import { type ExpectedTpmView, MAX_NOTE } from '../../../core/api/expected-tpms.ts'
import { isKeylimeError, KeylimeError } from '../../../core/errors.ts'
import { parseEkHash, parseSerial } from '../../../core/identity/expected-tpm.ts'
import { alignColumns, relativeTime } from '../../../io/terminal/terminal.ts'
import type { DoneWith } from '../day2/choose-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import type { Listing } from './listing.ts'

/** `keylime tenant expect`: a TPM may register before its machine exists; `--list` and `--forget`. @throws KeylimeError `usage`, `not_found`. */
export async function expectTpm(context: TenantContext): Promise<Listing | Done> {
  const { options, registrar, report } = context
  const { agentId = '', note, lists, forgets } = options
  if (lists) return listExpected(context)
  const mark = markOf(options)
  const name = 'ek_hash' in mark ? `the TPM with the EK hash ${mark.ek_hash}` : `the TPM with the serial ${mark.serial}`
  const { unknown_tpm: unknown } = await registrar.expected()
  if (forgets) {
    if (!(await registrar.forgetExpected('ek_hash' in mark ? `ek-${mark.ek_hash}` : `serial-${mark.serial}`)))
      throw new KeylimeError('not_found', `${name} is neither expected nor refused`, { hint: '`keylime tenant expect --list` shows all' })
    return done('', `${name} is no longer expected or refused; if it is registered, it stays so`)
  }
  if (agentId !== '' && !isAgentId(agentId))
    throw new KeylimeError('usage', `"${agentId}" cannot be the id of an agent`, {
      hint: 'ids have 1 to 80 letters, digits, "_", "." or "-"',
    })
  if (note !== undefined && note.length > MAX_NOTE) throw new KeylimeError('usage', `--note may have ${MAX_NOTE} characters`)
  await registrar.expect({ ...mark, ...(agentId ? { agent_id: agentId } : {}), ...(note ? { note } : {}) })
  if (unknown === 'accept')
    report({
      type: 'warning',
      text: 'the registrar also registers TPMs that nobody expects: set unknown_tpm = approve or refuse in registrar.conf',
    })
  return done(agentId, `${name} may register${agentId ? ` as ${agentId}` : ''}`)
}

type Done = DoneWith & { readonly type: 'done' }

const done = (agentId: string, summary: string): Done => ({ type: 'done', agentId, summary })

type Mark = { ek_hash: string } | { serial: string }

/** @throws KeylimeError `usage` unless there is exactly one, and it can be one. */
function markOf({ ekHash, serial }: TenantOptions): Mark {
  if ((ekHash === undefined) === (serial === undefined))
    throw new KeylimeError('usage', 'which TPM? give either --ek-hash or --serial', {
      hint: '`keylime tenant ekroots check FILE` shows both for an EK certificate; --list shows who is expected',
    })
  return ekHash === undefined ? { serial: orUsage(() => parseSerial(serial!)) } : { ek_hash: ekHashOption(ekHash) }
}

/** @throws KeylimeError `usage` */
export const ekHashOption = (text: string): string => orUsage(() => parseEkHash(text))

function orUsage<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!isKeylimeError(cause)) throw cause
    throw new KeylimeError('usage', cause.message, { cause, ...(cause.hint ? { hint: cause.hint } : {}) })
  }
}

async function listExpected({ registrar, clock }: TenantContext): Promise<Listing> {
  const { expected, unknown_tpm } = await registrar.expected()
  const rows = expected.map((one) => rowOf(one, clock.now()))
  const lines =
    rows.length > 0
      ? alignColumns([['TPM', 'IS', 'ID', 'SINCE', 'BY', 'NOTE'], ...rows])
      : ['no TPM is expected; `keylime tenant expect --ek-hash HEX` adds one']
  return { type: 'listing', json: { result: 'expected', unknown_tpm, expected }, lines }
}

const rowOf = ({ ek_hash, serial, verdict, agent_id, since, by, note }: ExpectedTpmView, now: number): string[] => [
  ek_hash ? `ek ${ek_hash}` : `serial ${serial}`,
  verdict,
  agent_id ?? 'any',
  relativeTime(Date.parse(since), now),
  by || '-',
  note || '-',
]
