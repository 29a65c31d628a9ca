import type { z } from 'zod'
import type { evidenceRequest } from '../api/verifier.ts'
import type { Evidence } from './evidence.ts'

/** `data` of `POST /verify/evidence` (protocol 4.10). */
export type SubmittedEvidence = z.infer<typeof evidenceRequest>['data']

/** Evidence that somebody else collected. It names no algorithms beside the hash; a missing measurement list is an empty one. */
export const readSubmittedEvidence = (data: SubmittedEvidence): Evidence => ({
  quote: data.quote,
  algorithms: { hash: data.hash_alg, encryption: '', signing: '' },
  transportKey: null,
  imaLog: { text: data.ima_measurement_list ?? '', firstEntry: 0 },
  bootLog: data.mb_log ? Buffer.from(data.mb_log, 'base64') : null,
  systemdLog: null,
  bootTime: 0,
})
