import { alignColumns, relativeTime } from '../../../io/terminal/terminal.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { Listing } from './listing.ts'

/** `keylime tenant pending`: machines that have proved their TPM, and wait for an operator. */
export async function pendingMachines({ registrar, clock }: TenantContext): Promise<Listing> {
  const { waiting, unknown_tpm } = await registrar.waiting()
  const rows = waiting.map(({ agent_id, ek_hash, maker, ip, since }) => [
    agent_id,
    maker ?? 'no known maker',
    ip ?? '-',
    relativeTime(Date.parse(since), clock.now()),
    ek_hash,
  ])
  const none = unknown_tpm === 'approve' ? '' : ` (the registrar’s unknown_tpm is ${unknown_tpm})`
  const lines =
    rows.length > 0
      ? [
          ...alignColumns([['AGENT', 'TPM OF', 'ADDRESS', 'SINCE', 'EK HASH'], ...rows]),
          'compare the EK hash with the one that the machine shows, then: keylime tenant approve -u ID --ek-hash HEX',
        ]
      : [`no machine waits for approval${none}`]
  return { type: 'listing', json: { result: 'pending', unknown_tpm, waiting }, lines }
}

/** For whoever looks at his machines; null when nobody waits, and for a registrar that knows of no such thing. */
export async function waitingNote({ registrar }: Pick<TenantContext, 'registrar'>): Promise<string | null> {
  const found = await registrar.waiting().catch(() => null)
  const count = found?.waiting.length ?? 0
  if (count === 0) return null
  return `${count === 1 ? 'one machine waits' : `${count} machines wait`} for your approval: \`keylime tenant pending\` shows more`
}
