import type { MeasurementMark } from '../../../io/files/measurement-mark.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { AttestationKeys } from '../../../io/tpm/attestation-keys.ts'
import type { AgentSettings } from '../agent-settings.ts'
import { ChangeWatch } from './change-watch.ts'

interface Watched {
  readonly settings: AgentSettings
  readonly keys: AttestationKeys
  readonly mark: MeasurementMark
  readonly logger: Logger
  changed(why: string): void
}

/** What is watched as the configuration wants it; null for nothing. */
export async function openChangeWatch({ settings: { values }, keys, mark, logger, changed }: Watched): Promise<ChangeWatch | null> {
  if (!values.attest_on_change) return null
  const seconds = values.pcr_watch_interval
  const asks = seconds > 0 && !(await countsOwnQuotes(keys, logger))
  const pcrs = asks ? () => keys.use(({ tpm }) => tpm.pcrUpdates()) : null
  return new ChangeWatch({ list: () => mark.read(), pcrs, pcrsMs: seconds * 1000, changed, logger })
}

/** PCR 16 is set for each quote. A TPM that counts that, as it should not (PC Client Platform TPM Profile), would have the agent attest for ever. */
async function countsOwnQuotes(keys: AttestationKeys, logger: Logger): Promise<boolean> {
  const moves = async () =>
    keys.use(async ({ tpm }) => {
      const before = await tpm.pcrUpdates()
      await tpm.pcrReset(16)
      return (await tpm.pcrUpdates()) !== before
    })
  try {
    const isCounted = (await moves()) && (await moves()) // once may be somebody else’s
    if (isCounted) logger.info('this TPM counts each quote as a change: its PCRs are not watched')
    return isCounted
  } catch (error) {
    logger.info('this TPM does not say whether PCRs were changed: they are not watched', { reason: (error as Error).message })
    return true
  }
}
