import { parseBoundedJson } from '../../../src/core/api/bounded-json.ts'
import { parseMessage } from '../../../src/core/api/parse-message.ts'
import { sessionProof, TPM_POP } from '../../../src/core/api/push/session.ts'
import { certifyDefect } from '../../../src/core/quote/verify-certify.ts'
import { parsePublicArea } from '../../../src/core/tpm/public-area.ts'
import { createSessions } from '../../../src/roles/verifier/push/sessions.ts'
import { softwareAk, softwareCertify } from '../../software-ak.ts'
import { demand, type Target, unlessRefused } from '../target.ts'

const CHALLENGE = Buffer.alloc(16, 7)
const KEY = softwareAk('rsa')
const AK = parsePublicArea(KEY.public)
const GOOD = softwareCertify(KEY, { name: AK.name, qualifyingData: CHALLENGE })
const proof = ({ attest, signature }: typeof GOOD): Buffer => {
  const data = { message: attest.toString('base64'), signature: signature.toString('base64') }
  return Buffer.from(
    JSON.stringify({ data: { type: 'session', attributes: { agent_id: 'a', authentication_provided: [{ ...TPM_POP, data }] } } }),
  )
}
const sessions = createSessions({
  clock: { now: () => Date.UTC(2027, 0, 1), monotonic: () => 0 } as never,
  ...{ nonceLifetime: 60, sessionLifetime: 60, keyOf: () => 'key' },
})
const { token } = sessions.grant('01941f29-7c00-7000-8000-000000000000', 'a')

/** The proof that opens a session: nothing but what the attestation key certified over the challenge of the session counts, and nothing but what was granted is a token. */
export const pushProof: Target = {
  seeds: () => [
    proof(GOOD),
    proof(softwareCertify(KEY, { name: AK.name, qualifyingData: Buffer.alloc(16) })),
    proof(softwareCertify(KEY, { name: Buffer.alloc(34), qualifyingData: CHALLENGE })),
    proof({ ...GOOD, attest: Buffer.concat([GOOD.attest, Buffer.from([0])]) }),
    Buffer.from('01941f29-7c00-7000-8000-000000000000.AAAA'),
  ],
  words: ['"message":', '"signature":', '"authentication_provided":', '"tpm_pop"'],
  run(input) {
    const text = input.toString('utf8')
    demand(sessions.agentOf(text) === (text === token ? 'a' : null), 'a token is believed that was never granted')
    const session = sessions.take(text, 'a')
    demand(session === null || /^[0-9a-f-]{36}$/.test(text), 'a session has an id of another form')
    const message = unlessRefused(['invalid_request'], () => parseMessage(sessionProof, parseBoundedJson(input, 'the proof'), 'the proof'))
    for (const { data } of message?.data.attributes.authentication_provided ?? []) {
      const [attest, signature] = [data.message, data.signature].map((given) => Buffer.from(given, 'base64')) as [Buffer, Buffer]
      const defect = certifyDefect({ signer: AK, subjectName: AK.name, attest, signature, qualifyingData: [CHALLENGE] })
      const isGood = attest.equals(GOOD.attest) && signature.equals(GOOD.signature)
      demand((defect === undefined) === isGood, isGood ? `the proof is refused: ${defect}` : 'a forged proof is good')
    }
  },
}
