import { parseAgentId } from '../../../core/api/agent-id.ts'
import { type EnrolmentUpdate, enrolmentRequest, enrolmentUpdate } from '../../../core/api/verifier.ts'
import { httpStatusOf, isKeylimeError } from '../../../core/errors.ts'
import type { Route } from '../../../io/http/route.ts'
import { type EnrolmentParts, prepareEnrolment } from './prepare-enrolment.ts'
import { readUpload, type Upload } from './read-upload.ts'
import type { VerifierContext } from './verifier-context.ts'

type Used = EnrolmentParts & Pick<VerifierContext, 'judging' | 'store'>

/**
 * `POST /v2.x/enrolments/:id/check`, our own: whether an enrolment, or an update of one, would be taken. Nothing is stored, and no machine is asked. The tenant
 * asks this before anything leaves it, so that a slip costs nothing. A refusal is an answer and no failed request: 404 is that of verifiers without this route.
 */
export function checkEnrolment(context: Used): Route['handle'] {
  const { judging, policies, store } = context
  return async ({ params, body }) => {
    const agentId = parseAgentId(params['id']!)
    const record = await store.find(agentId)
    const before = record && 'agent' in record ? record.agent : null
    try {
      const schema = before ? enrolmentUpdate : enrolmentRequest
      const upload: Upload<EnrolmentUpdate> = await readUpload(judging, schema, { body, what: 'the enrolment' })
      const { agent } = await prepareEnrolment(context, { agentId, upload, before })
      agent.connection?.close()
      return { results: { refused: null, delivery: 1 } }
    } catch (error) {
      if (!isKeylimeError(error) || httpStatusOf(error.code) >= 500) throw error
      return { results: { refused: { code: error.code, message: error.message, ...(error.hint ? { hint: error.hint } : {}) } } }
    } finally {
      await policies.forgetUnused()
    }
  }
}
