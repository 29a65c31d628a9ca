import { warningsIn } from '../../../core/api/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiResponse } from '../../../io/http/api-client.ts'
import { expectSuccess } from '../services/verifier-service.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantCommand, TenantOptions } from '../tenant-options.ts'
import { bootPolicy, type PolicySources, runtimePolicy, tpmPolicyText } from './policy-fields.ts'
import { readSource } from './read-source.ts'

export interface PolicyAnswer {
  readonly kind: 'runtime' | 'mb'
  readonly action: 'add' | 'update' | 'show' | 'delete' | 'list'
  readonly name: string
  readonly response: ApiResponse
}

type Used = PolicySources & Pick<TenantContext, 'verifier' | 'report'>

const METHODS = { add: 'POST', update: 'PUT', show: 'GET', delete: 'DELETE', list: 'GET' } as const

/** True for the commands that work on stored policies. */
export const isPolicyCommand = (command: TenantCommand) => /(runtimepolicy|mbpolicy)$/.test(command)

/** One call on `/allowlists` or `/mbpolicies` (protocol 3.8). Warnings are told; the answer is returned whatever its status is, the faces judge it. */
export async function callPolicyResource(used: Used, command: TenantCommand): Promise<PolicyAnswer> {
  const [, action, kind] = /^(add|update|show|delete|list)(runtime|mb)policy$/.exec(command) as unknown as [
    string,
    PolicyAnswer['action'],
    PolicyAnswer['kind'],
  ]
  const { options, verifier, report } = used
  const name = (kind === 'runtime' ? options.runtimePolicyName : options.mbPolicyName) ?? ''
  const flag = kind === 'runtime' ? '--runtime-policy-name' : '--mb-policy-name'
  if (name === '' && action !== 'list') throw new KeylimeError('usage', `${command} needs ${flag}`)
  const path = `/${kind === 'runtime' ? 'allowlists' : 'mbpolicies'}/${action === 'list' ? '' : encodeURIComponent(name)}`
  const body =
    action === 'add' || action === 'update'
      ? kind === 'runtime'
        ? await runtimeBody(options)
        : { mb_policy: await bootPolicy(used) }
      : undefined
  const response = await verifier.raw(METHODS[action], path, body)
  for (const text of warningsIn(response.results)) report({ type: 'warning', text })
  return { kind, action, name, response }
}

/** @throws KeylimeError for an answer that means no, with what to do next. */
export function expectPolicy({ kind, action, name, response }: PolicyAnswer): void {
  const { status } = response
  const word = (verb: string) => `\`keylime tenant ${verb}${kind}policy\``
  const what = kind === 'runtime' ? 'runtime' : 'measured boot'
  if (status === 404 || (status === 409 && action === 'update'))
    // a measured boot policy that is not there is 409 at upstream's verifier
    throw new KeylimeError('policy_not_found', `the verifier has no ${what} policy named ${name}`, {
      hint: `${word('list')} shows the names${action === 'update' ? `; ${word('add')} makes a new one` : ''}`,
    })
  if (status === 409 && action === 'add')
    throw new KeylimeError('conflict', `the verifier already has a ${what} policy named ${name}`, {
      hint: `${word('update')} replaces it, for all its machines`,
    })
  if (status === 409)
    throw new KeylimeError('conflict', response.message || `${what} policy ${name} is in use`, {
      hint: 'give its machines another with `keylime tenant update`, or delete them first',
    })
  expectSuccess(response)
}

async function runtimeBody(options: TenantOptions): Promise<Record<string, unknown>> {
  const policy = await runtimePolicy(options)
  if (policy === '') throw new KeylimeError('usage', 'a runtime policy is needed', { hint: 'give its file with --runtime-policy' })
  const key = options.runtimePolicyKey ? (await readSource(options.runtimePolicyKey, '--runtime-policy-sig-key')).toString('base64') : ''
  return { tpm_policy: tpmPolicyText(options, { runtime: true, boot: false }), runtime_policy: policy, runtime_policy_key: key }
}
