import { type ExpectedTpms, type ExpectedTpmView, expectationRequest } from '../../../core/api/expected-tpms.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { type ExpectedTpm, parseEkHash, parseSerial, type TpmMark } from '../../../core/identity/expected-tpm.ts'
import type { ApiRequest, Route } from '../../../io/http/route.ts'
import type { RegistrarContext } from './registrar-context.ts'

/** `GET /v2.x/expected`, our own. */
export function listExpected({ store, rules }: RegistrarContext): Route['handle'] {
  return async () => ({
    results: { expected: (await store.expected.list()).map(view), unknown_tpm: rules.unknownTpm } satisfies ExpectedTpms,
  })
}

/** `POST /v2.x/expected`, our own: a TPM may register, before its machine exists. It takes the place of what was said of that TPM before. */
export function expectTpm({ store, clock, logger }: RegistrarContext): Route['handle'] {
  return async (request) => {
    const { ek_hash, serial, agent_id: agentId = null, note = '' } = parseMessage(expectationRequest, request.body, 'the expected TPM')
    const mark = ek_hash === undefined ? serialMark(serial!) : ekMark(ek_hash)
    const expected: ExpectedTpm = { ...mark, verdict: 'expected', agentId, note, addedAt: clock.now(), addedBy: operatorOf(request) }
    await store.expected.put(expected)
    logger.info('an operator expects a TPM', { ...view(expected), operator: expected.addedBy })
    return { results: view(expected) }
  }
}

/** `DELETE /v2.x/expected/:name`, our own: `ek-HEX` or `serial-HEX`. What is registered stays registered. */
export function forgetExpected({ store, logger }: RegistrarContext): Route['handle'] {
  return async (request) => {
    const mark = markOf(request.params['name']!)
    if (!(await store.expected.drop(mark)))
      throw new KeylimeError('not_found', `no TPM with the ${NAMES[mark.kind]} ${mark.digits} is expected or refused`)
    logger.info('an operator removed what was said about a TPM', { [mark.kind]: mark.digits, operator: operatorOf(request) })
    return {}
  }
}

const NAMES = { ek_hash: 'EK hash', serial: 'serial' } as const

/** @throws KeylimeError `invalid_request` */
function markOf(name: string): TpmMark {
  if (name.startsWith('ek-')) return ekMark(name.slice('ek-'.length))
  if (name.startsWith('serial-')) return serialMark(name.slice('serial-'.length))
  throw new KeylimeError('invalid_request', `${JSON.stringify(name)} names no TPM: it begins with neither ek- nor serial-`)
}

const ekMark = (text: string): TpmMark => ({ kind: 'ek_hash', digits: parseEkHash(text) })
const serialMark = (text: string): TpmMark => ({ kind: 'serial', digits: parseSerial(text) })

/** The common name of whoever calls; the route is for operators alone. */
export const operatorOf = ({ peer }: ApiRequest): string => (peer.kind === 'certificate' ? peer.commonName : '')

const view = ({ kind, digits, verdict, agentId, note, addedAt, addedBy }: ExpectedTpm): ExpectedTpmView => ({
  ek_hash: kind === 'ek_hash' ? digits : null,
  serial: kind === 'serial' ? digits : null,
  verdict,
  agent_id: agentId,
  note,
  since: new Date(addedAt).toISOString(),
  by: addedBy,
})
