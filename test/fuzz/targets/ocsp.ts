import { childrenOf, readElement } from '../../../src/core/pki/der.ts'
import { derDefect } from '../../../src/core/pki/der-defect.ts'
import { answerOcsp, parseOcspRequest } from '../../../src/core/pki/ocsp.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { authorityWithKey, OCSP_REQUEST } from './authority.ts'

/** Requests of OCSP: each gets an answer in strict DER, a signed one only for what was asked. */
export const ocsp: Target = {
  seeds: () => [OCSP_REQUEST, Buffer.from('30053003300100', 'hex')],
  run(input) {
    const request = unlessRefused(['malformed'], () => parseOcspRequest(input))
    const asked: bigint[] = []
    const answer = answerOcsp(
      authorityWithKey(),
      input,
      (serial) => {
        asked.push(serial)
        return serial === 3n ? { kind: 'revoked', date: 0, reason: 'keyCompromise' } : { kind: 'good' }
      },
      0,
    )
    const [status] = childrenOf(readElement(answer))
    const isGood = status!.content[0] === 0
    demand(readElement(answer).bytes.equals(answer), 'bytes follow the answer')
    demand(request !== null || !isGood, 'a request that cannot be read gets a status')
    demand(isGood === asked.length > 0, 'a status is given that nobody looked up')
    if (request && !request.certificates.some(({ bytes }) => unlessRefused(['malformed'], () => derDefect(bytes) ?? 'strict') !== 'strict'))
      demand(derDefect(answer) === undefined, 'the answer is not strict DER')
  },
}
