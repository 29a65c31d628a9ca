import type { Negotiation } from '../../../core/api/push/attestation.ts'
import { akAlgorithms } from '../../../core/attestation/ak-algorithms.ts'
import type { Offered } from '../../../core/attestation/asked-evidence.ts'
import { offerEvidence, type ProvableFacts } from '../../../core/attestation/offer-evidence.ts'
import { parseEventLog } from '../../../core/measured-boot/event-log.ts'
import { algorithmName } from '../../../core/tpm/algorithm-names.ts'
import { type BootLog, readBootTime } from '../../../io/files/boot-log.ts'
import type { ImaLog } from '../../../io/files/ima-log.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import type { AgentSettings } from '../agent-settings.ts'

interface Sources {
  readonly settings: AgentSettings
  readonly keys: AttestationKeys
  readonly imaLog: ImaLog
  readonly bootLog: BootLog
  readonly logger: Logger
}

/** What only a verifier of ours is told. */
type Beyond = Pick<ProvableFacts, 'isEarly' | 'delivers'>

/** What does not change while the agent runs. */
export type FixedFacts = Omit<ProvableFacts, 'imaEntries' | keyof Beyond>

/** Asks the TPM and reads the boot log, once. @throws KeylimeError `tpm_failed`. */
export async function provableFacts({ settings, keys, bootLog, logger }: Sources): Promise<FixedFacts> {
  const [algorithms, banks] = await keys.use(async ({ tpm }) => [await tpm.algorithms(), await tpm.pcrBanks()] as const)
  const named = (kind: 'hash' | 'signature') => algorithms.flatMap((algorithm) => algorithmName(algorithm, kind) ?? [])
  return {
    ak: keys.akArea,
    hashAlgorithms: named('hash'),
    signatureSchemes: named('signature'),
    banks: new Map(
      banks.flatMap(({ algorithm, pcrs }) => {
        const name = algorithmName(algorithm, 'hash')
        return name && pcrs.length > 0 ? [[name, pcrs] as const] : []
      }),
    ),
    serverIdentifier: settings.values.certification_keys_server_identifier,
    uefiVersion: settings.values.uefi_logs_evidence_version,
    bootEvents: countBootEvents(bootLog, logger),
    bootTime: readBootTime(),
  }
}

/** Without a Spec ID event, which only says how the others are written. */
function countBootEvents(bootLog: BootLog, logger: Logger): number {
  try {
    const bytes = bootLog.read()
    return bytes ? parseEventLog(bytes).events.length : 0
  } catch (error) {
    logger.warn('the event log of the firmware cannot be read', { reason: (error as Error).message })
    return 0
  }
}

/** The offer of one attestation, and its limits. @throws the system's error when the measurement list cannot be read. */
export function makeOffer(facts: FixedFacts, imaLog: ImaLog, beyond: Required<Beyond>): { offer: Negotiation; offered: Offered } {
  const { signing: scheme, hash } = akAlgorithms(facts.ak)
  return {
    offer: offerEvidence({ ...facts, imaEntries: imaLog.count(), ...beyond }),
    offered: { scheme, hash, pcrs: facts.banks.get(hash) ?? [], delivery: beyond.delivers },
  }
}
