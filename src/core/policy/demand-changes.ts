/** What an update may take away from a machine's enrolment, by the name that `--drop` takes. */
export const DROPPABLE = ['runtime-policy', 'mb-policy', 'tpm-policy', 'certificate'] as const
export type Droppable = (typeof DROPPABLE)[number]

/** What a machine must prove and what is known of it, as an operator speaks of it. */
export interface Demands {
  /** Name of the runtime policy; null for none. */
  readonly runtime: string | null
  /** Name of the measured boot policy; null for none. */
  readonly boot: string | null
  /** Static PCRs with the digests that each may have. */
  readonly pcrs: ReadonlyMap<number, readonly string[]>
  /** Serial of the certificate that its revocation names; null for none. */
  readonly certificate: string | null
  /** Algorithms that its TPM may use. */
  readonly accepted: string
}

export interface DemandChange {
  /** Such as `runtime policy` or `PCR 15`. */
  readonly what: string
  readonly from: string
  readonly to: string
  /** What has to be dropped on purpose for it: the change takes protection away. Null when it does not. */
  readonly lowers: Droppable | null
}

const NONE = 'none'

/** The differences, in a fixed order. A demand that vanishes lowers the protection; one that is exchanged for another does not. */
export function demandChanges(before: Demands, after: Demands): DemandChange[] {
  const named = (what: string, drop: Droppable, from: string | null, to: string | null): DemandChange[] =>
    from === to ? [] : [{ what, from: from ?? NONE, to: to ?? NONE, lowers: to === null ? drop : null }]
  return [
    ...named('runtime policy', 'runtime-policy', before.runtime, after.runtime),
    ...named('measured boot policy', 'mb-policy', before.boot, after.boot),
    ...pcrChanges(before.pcrs, after.pcrs),
    ...named('certificate to revoke', 'certificate', before.certificate, after.certificate),
    ...(before.accepted === after.accepted
      ? []
      : [{ what: 'accepted algorithms', from: before.accepted, to: after.accepted, lowers: null }]),
  ]
}

/** True when a machine in any state would meet them. */
export const demandNothing = ({ runtime, boot, pcrs }: Demands): boolean => runtime === null && boot === null && pcrs.size === 0

export const changeText = ({ what, from, to }: DemandChange): string => `${what}: ${from} → ${to}`

function pcrChanges(before: Demands['pcrs'], after: Demands['pcrs']): DemandChange[] {
  const all = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b)
  return all.flatMap((pcr): DemandChange[] => {
    const [from, to] = [before.get(pcr), after.get(pcr)]
    if (String(from?.toSorted()) === String(to?.toSorted())) return []
    return [{ what: `PCR ${pcr}`, from: valuesText(from), to: valuesText(to), lowers: to === undefined ? 'tpm-policy' : null }]
  })
}

function valuesText(digests: readonly string[] | undefined): string {
  if (digests === undefined) return 'any value'
  return digests.length === 1 ? `${digests[0]!.slice(0, 12)}…` : `${digests.length} values`
}
