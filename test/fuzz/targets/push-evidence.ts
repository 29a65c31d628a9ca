import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { readEvidenceV2 } from '../../../src/core/evidence/read-evidence-v2.ts'
import { resultsOfV3 } from '../../../src/core/evidence/read-evidence-v3.ts'
import { FRESH_IMA } from '../../../src/core/ima/ima-policy.ts'
import { judgeAnswer } from '../../../src/core/judging/judge-answer.ts'
import { parseTpmPolicy } from '../../../src/core/policy/tpm-policy.ts'
import { parseQuote } from '../../../src/core/quote/quote-text.ts'
import { pcrsOfMask } from '../../../src/core/tpm/pcr-selection.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { AK, NONCE, QUOTE, SUBMISSION } from './push-samples.ts'
import { forged } from './quote-text.ts'

const ALGORITHMS = { hash: 'sha256', encryption: 'ecc256', signing: 'ecdsa' }
const WHOLE = { algorithms: ALGORITHMS, imaOffset: 0, bootLog: true, delivery: true }
const ASKED = [WHOLE, { algorithms: ALGORITHMS, imaOffset: 7, bootLog: false }, { algorithms: ALGORITHMS, imaOffset: null, bootLog: false }]
const KNOWN = {
  ak: AK,
  transportKey: null,
  accepted: { hash: ['sha256'], encryption: ['ecc'], signing: ['ecdsa'] },
  policy: { tpm: parseTpmPolicy('{}'), ima: { judge: () => ({ failures: [], progress: FRESH_IMA }) }, boot: null },
  clockInfo: null,
  ima: FRESH_IMA,
  attestationCount: 0,
}
const REQUEST = { nonce: NONCE.toString('latin1'), evaluateBootAlways: true, unbound: true, pcrs: pcrsOfMask(0xffff) }
const [message, signature, subjectData] = forged('quote-ecc').slice(1).split(':')
const FORGED = structuredClone(SUBMISSION)
Object.assign(FORGED.data.attributes.evidence_collected[0]!, { data: { message, signature, subject_data: subjectData } })
const QUOTE_ONLY = structuredClone(SUBMISSION)
QUOTE_ONLY.data.attributes.evidence_collected.length = 1

/** Evidence of API 3.0: in the form of API 2.x it is evidence, has nothing that was not asked for, and passes with nothing but the quote that the TPM signed. */
export const pushEvidence: Target = {
  seeds: () => [SUBMISSION, QUOTE_ONLY, FORGED, { data: { type: 'error', attributes: { evidence_collected: [] } } }].map(bytesOf),
  maxBytes: 8192,
  words: ['tpm_quote', 'ima_log', 'uefi_log', 'subject_data', 'message', 'signature', 'entries', 'entries_raw', 'entry_count', 'data'].map(
    (name) => `"${name}":`,
  ),
  run(input) {
    const json = unlessRefused(['invalid_request'], () => ({ value: parseBoundedJson(input, 'the evidence') }))
    for (const asked of ASKED) {
      const { results, report } = json ? resultsOfV3(json.value, asked) : { results: null, report: null }
      demand(report === null || (asked === WHOLE && results !== null), 'a report was not asked for')
      if (results) {
        const read = readEvidenceV2(results)
        demand('evidence' in read, 'what was brought is evidence of API 3.0, and none of API 2.x')
        if (!('evidence' in read)) return
        const { imaLog, bootLog, algorithms, transportKey } = read.evidence
        demand(transportKey === null || asked === WHOLE, 'a transport key was not asked for')
        demand((imaLog === null || imaLog.firstEntry === asked.imaOffset) && (bootLog === null || asked.bootLog), 'a log was not asked for')
        demand(algorithms.hash === ALGORITHMS.hash && algorithms.signing === ALGORITHMS.signing, 'the machine chose its algorithms')
      }
      const judged = judgeAnswer({ answer: input, asked }, KNOWN as never, REQUEST as never)
      const isGood = typeof judged !== 'string' && judged.verdict.outcome === 'passed'
      if (isGood) demand(parseQuote(results!.quote).attestBytes.equals(parseQuote(QUOTE).attestBytes), 'evidence without the quote is good')
      if (asked === WHOLE && input.equals(bytesOf(SUBMISSION))) demand(isGood, 'the quote is not good')
    }
  },
}

function bytesOf(document: unknown): Buffer {
  return Buffer.from(JSON.stringify(document))
}
