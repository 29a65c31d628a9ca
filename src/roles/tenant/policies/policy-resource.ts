import { warningsIn } from '../../../core/api/verifier.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { ApiResponse } from '../../../io/http/api-client.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantCommand } from '../tenant-options.ts'
import { bootPolicy, runtimePolicy, tpmPolicyText } from './policy-fields.ts'
import { readSource } from './read-source.ts'

export interface PolicyAnswer {
  readonly kind: 'runtime' | 'mb'
  readonly action: 'add' | 'update' | 'show' | 'delete' | 'list'
  readonly name: string
  readonly response: ApiResponse
}

const METHODS = { add: 'POST', update: 'PUT', show: 'GET', delete: 'DELETE', list: 'GET' } as const

/** True for the commands that work on stored policies. */
export const isPolicyCommand = (command: TenantCommand) => /(runtimepolicy|mbpolicy)$/.test(command)

/** One call on `/allowlists` or `/mbpolicies` (protocol 3.8). Warnings are told; the answer is returned whatever its status is, the faces judge it. */
export async function callPolicyResource(context: TenantContext, command: TenantCommand): Promise<PolicyAnswer> {
  const [, action, kind] = /^(add|update|show|delete|list)(runtime|mb)policy$/.exec(command) as unknown as [
    string,
    PolicyAnswer['action'],
    PolicyAnswer['kind'],
  ]
  const { options } = context
  const name = (kind === 'runtime' ? options.runtimePolicyName : options.mbPolicyName) ?? ''
  const flag = kind === 'runtime' ? '--runtime-policy-name' : '--mb-policy-name'
  if (name === '' && action !== 'list') throw new KeylimeError('usage', `${command} needs ${flag}`)
  const path = `/${kind === 'runtime' ? 'allowlists' : 'mbpolicies'}/${action === 'list' ? '' : encodeURIComponent(name)}`
  const body = action === 'add' || action === 'update' ? await (kind === 'runtime' ? runtimeBody(context) : bootBody(context)) : undefined
  const response = await context.verifier.raw(METHODS[action], path, body)
  for (const text of warningsIn(response.results)) context.report({ type: 'warning', text })
  return { kind, action, name, response }
}

async function runtimeBody(context: TenantContext): Promise<Record<string, unknown>> {
  const { options } = context
  const policy = await runtimePolicy(options)
  if (policy === '') throw new KeylimeError('usage', 'a runtime policy is needed', { hint: 'give its file with --runtime-policy' })
  const key = options.runtimePolicyKey ? (await readSource(options.runtimePolicyKey, '--runtime-policy-sig-key')).toString('base64') : ''
  return { tpm_policy: tpmPolicyText(options, { runtime: true, boot: false }), runtime_policy: policy, runtime_policy_key: key }
}

async function bootBody(context: TenantContext): Promise<Record<string, unknown>> {
  return { mb_policy: await bootPolicy(context) }
}
