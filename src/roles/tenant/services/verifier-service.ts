import { agentIds } from '../../../core/api/agent-ids.ts'
import { type AgentStatus, agentStatus, agentStatuses } from '../../../core/api/agent-status.ts'
import { type AttestNow, attestNow } from '../../../core/api/attest-now.ts'
import { type HistoryPage, historyPage } from '../../../core/api/history.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { type ReportedRevocation, revocationReport } from '../../../core/api/revocation-report.ts'
import { type RevokedAtVerifier, revokedAtVerifier } from '../../../core/api/revoked.ts'
import { type EnrolmentRequest, type EnrolmentUpdate, enrolmentCheck, warningsIn } from '../../../core/api/verifier.ts'
import { compareVersions } from '../../../core/api/versions.ts'
import { type ErrorCode, isErrorCode, KeylimeError } from '../../../core/errors.ts'
import type { ApiClient, ApiResponse } from '../../../io/http/api-client.ts'
import { negotiateWith } from './negotiate-with.ts'
import { notEnrolled } from './not-enrolled.ts'
import type { ServerAddress } from './server-address.ts'

/** What a verifier of ours takes beyond upstream's members: a mailbox for a machine. */
export interface Takes {
  readonly delivery: boolean
}

/** The verifier as the tenant uses it. */
export class VerifierService {
  readonly address: ServerAddress
  readonly #client: ApiClient
  #version: Promise<string> | undefined

  constructor(client: ApiClient, address: ServerAddress) {
    this.#client = client
    this.address = address
  }

  /** Undefined when the verifier does not have the agent. */
  async agent(agentId: string): Promise<AgentStatus | undefined> {
    const response = await this.raw('GET', agentPath(agentId))
    return response.status === 404 ? undefined : parseMessage(agentStatus, expectSuccess(response).results, 'the verifier’s answer')
  }

  /** @param verifierId only those of the verifier with this id; empty: all. */
  async agentIds(verifierId: string): Promise<string[]> {
    return parseMessage(agentIds, expectSuccess(await this.agents(verifierId)).results, 'the verifier’s answer')
  }

  /** The status of all agents by id. */
  async agentStatuses(verifierId: string): Promise<Record<string, AgentStatus>> {
    return parseMessage(agentStatuses, expectSuccess(await this.agents(verifierId, { bulk: 'True' })).results, 'the verifier’s answer')
  }

  /** The answer as it comes, whatever its status is. */
  agents(verifierId: string, query: Record<string, string> = {}): Promise<ApiResponse> {
    return this.raw('GET', '/agents/', undefined, { ...query, ...(verifierId ? { verifier: verifierId } : {}) })
  }

  /** The newest revocations. @throws KeylimeError `unsupported_version` for a verifier of upstream, which keeps no such record. */
  async revocations(): Promise<ReportedRevocation[]> {
    const response = await this.raw('GET', '/revocations')
    const parsed = revocationReport.safeParse(response.results)
    if (response.status === 200 && parsed.success) return parsed.data.revocations
    throw new KeylimeError('unsupported_version', 'this verifier does not say who has been told of revocations', {
      hint: 'only `keylime verifier` keeps that record; upstream’s does not',
    })
  }

  /** A page of what became of the machines. @throws KeylimeError `unsupported_version` for a verifier of upstream, which keeps no history. */
  async history(query: Record<string, string>): Promise<HistoryPage> {
    const response = await this.raw('GET', '/history', undefined, query)
    const parsed = historyPage.safeParse(response.results)
    if (response.status === 200 && parsed.success) return parsed.data
    if (response.status === 401 || response.status === 403) expectSuccess(response)
    throw new KeylimeError('unsupported_version', 'this verifier keeps no history', {
      hint: 'only `keylime verifier` keeps one; upstream’s does not, nor do older ones of ours',
    })
  }

  /** @returns what it warns of. */
  async enrol(agentId: string, request: EnrolmentRequest): Promise<string[]> {
    const supported_version = await this.#versionOf(request.supported_version)
    const olderName = { mb_refstate: request.mb_policy } // of mb_policy, before 7.12
    const response = await this.raw('POST', agentPath(agentId), { ...request, ...olderName, supported_version })
    if (response.status === 409) {
      throw new KeylimeError(
        'already_exists',
        `the verifier already has agent ${agentId}${response.message ? ` (${response.message})` : ''}`,
        {
          hint: 'use `keylime tenant update`, or delete it first',
        },
      )
    }
    return warningsIn(expectSuccess(response).results)
  }

  /**
   * Has the verifier look whether it would take an enrolment or an update, and change nothing. @returns what it takes beyond upstream's members; undefined when this verifier has no such check.
   * @throws KeylimeError with the verifier's reason.
   */
  async check(agentId: string, request: EnrolmentUpdate): Promise<Takes | undefined> {
    const response = await this.raw('POST', `/enrolments/${encodeURIComponent(agentId)}/check`, request)
    if (response.status === 404 || response.status === 405) return undefined
    const { refused, delivery } = parseMessage(enrolmentCheck, expectSuccess(response).results, 'the verifier’s answer')
    if (!refused) return { delivery: delivery === 1 }
    const code = isErrorCode(refused.code) ? refused.code : 'invalid_request'
    throw new KeylimeError(code, `the verifier would not accept it: ${refused.message}`, { hint: refused.hint ?? hintOf(code) })
  }

  /** Puts an enrolment in the place of the one that is there; what it does not name stays. @returns what it warns of; undefined when this verifier cannot. */
  async update(agentId: string, request: EnrolmentUpdate): Promise<string[] | undefined> {
    const asked = request.supported_version
    const body = asked === undefined ? request : { ...request, supported_version: await this.#versionOf(asked) }
    const response = await this.raw('PUT', agentPath(agentId), body)
    if (response.status === 405) return undefined
    return warningsIn(expectSuccess(response).results)
  }

  /** A verifier older than the agent is told its own version: it asks the agent in that one, and reads no newer answer. */
  async #versionOf(agentVersion: string): Promise<string> {
    this.#version ??= negotiateWith(this.#client)
    const own = await this.#version
    return compareVersions(agentVersion, own) > 0 ? own : agentVersion
  }

  /** 200: gone at once, 202: going, 404: was not there. */
  async delete(agentId: string): Promise<200 | 202 | 404> {
    const response = await this.raw('DELETE', agentPath(agentId))
    if (response.status === 404 || response.status === 202) return response.status
    expectSuccess(response)
    return 200
  }

  async reactivate(agentId: string): Promise<void> {
    const response = await this.raw('PUT', `${agentPath(agentId)}/reactivate`, {})
    if (response.status === 404 && response.message === 'agent id not found') throw notEnrolled(agentId)
    expectSuccess(response)
  }

  /** Has it attested now. @throws KeylimeError `conflict` for one that failed or was stopped, `unsupported_version` for a verifier that cannot: upstream's. */
  async attest(agentId: string): Promise<AttestNow['told']> {
    const response = await this.raw('PUT', `${agentPath(agentId)}/attest`, {})
    if (response.status === 404 && response.message === 'agent id not found') throw notEnrolled(agentId)
    if (response.status === 400 || response.status === 404 || response.status === 405)
      throw new KeylimeError('unsupported_version', 'this verifier cannot attest a machine before its next interval', {
        hint: 'only `keylime verifier` does; upstream’s does not, nor do older ones of ours',
      })
    if (response.status === 409)
      throw new KeylimeError('conflict', response.message, {
        hint: `\`keylime tenant explain -u ${agentId}\` says why it failed; \`keylime tenant reactivate -u ${agentId}\` starts attesting it again`,
      })
    return parseMessage(attestNow, expectSuccess(response).results, 'the verifier’s answer').told
  }

  /** Ends the enrolment and tells all others. @returns undefined for a verifier that cannot: upstream's. */
  async revoke(agentId: string): Promise<RevokedAtVerifier | undefined> {
    const response = await this.raw('PUT', `${agentPath(agentId)}/revoke`, {})
    if (response.status === 400 || response.status === 404 || response.status === 405) return undefined
    return parseMessage(revokedAtVerifier, expectSuccess(response).results, 'the verifier’s answer')
  }

  async stop(agentId: string): Promise<void> {
    expectSuccess(await this.raw('PUT', `${agentPath(agentId)}/stop`, {}))
  }

  async raw(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown, query?: Record<string, string>): Promise<ApiResponse> {
    this.#version ??= negotiateWith(this.#client)
    const version = await this.#version
    return this.#client.request(method, `/v${version}${path}`, { ...(body === undefined ? {} : { body }), ...(query ? { query } : {}) })
  }

  /** Settles the API version ahead of need. */
  warmUp(): void {
    this.#version ??= negotiateWith(this.#client)
    this.#version.catch(() => undefined) // whoever needs it first gets the error
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

const hintOf = (code: ErrorCode): string =>
  code === 'policy_not_found'
    ? 'nothing was sent; `keylime tenant listruntimepolicy` and `listmbpolicy` show the names'
    : code === 'conflict'
      ? 'nothing was sent; give only the name to use the stored policy, or another name, or `updateruntimepolicy` / `updatembpolicy` to replace it'
      : 'nothing was sent; correct it and try again'

const agentPath = (agentId: string) => `/agents/${encodeURIComponent(agentId)}`

/** @throws KeylimeError for any other status than 2xx, with the verifier's words. */
export function expectSuccess(response: ApiResponse): ApiResponse {
  if (response.status >= 200 && response.status < 300) return response
  const text = `the verifier answered ${response.status}${response.message ? `: ${response.message}` : ''}`
  if (response.status === 404) throw new KeylimeError('not_found', text)
  if (response.status === 409) throw new KeylimeError('conflict', text)
  if (response.status === 413) throw new KeylimeError('payload_too_large', text, { hint: 'raise max_upload_size in verifier.conf' })
  if (response.status === 401 || response.status === 403) {
    throw new KeylimeError('forbidden', text, {
      hint: 'client_cert must be an operator’s, from a CA that the verifier trusts: `keylime ca operator NAME` makes one',
    })
  }
  if (response.status === 503 || response.status === 504) throw new KeylimeError('unavailable', text, { hint: 'try again in a moment' })
  throw new KeylimeError('invalid_request', text)
}
