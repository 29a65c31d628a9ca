import type { AgentStatus } from '../../core/api/agent-status.ts'
import type { ReportedRevocation } from '../../core/api/revocation-report.ts'
import { isKeylimeError, KeylimeError } from '../../core/errors.ts'
import { chooseAgent } from './day2/choose-agent.ts'
import { forgetAgent } from './day2/forget-agent.ts'
import { renameAgent } from './day2/rename-agent.ts'
import { replaceAgent } from './day2/replace-agent.ts'
import { revokeAgent } from './day2/revoke-agent.ts'
import { soonEnding } from './day2/soon-ending.ts'
import { broughtProgress } from './delivery/delivery-progress.ts'
import { addAgent, type Enrolled } from './enrol/add-agent.ts'
import { deleteFromVerifier } from './enrol/delete-from-verifier.ts'
import { payloadOnAgent } from './enrol/payload-on-agent.ts'
import { trustOf } from './enrol/plan-enrolment.ts'
import { waitForVerdict } from './enrol/wait-for-verdict.ts'
import { approveMachine } from './expected/approve-machine.ts'
import { expectTpm } from './expected/expect-tpm.ts'
import type { Listing } from './expected/listing.ts'
import { pendingMachines, waitingNote } from './expected/pending-machines.ts'
import { type Story, tellStory } from './explain/tell-story.ts'
import { listMachines, type MachineFilter, type MachineList } from './list/list-machines.ts'
import { comesByOf } from './list/machine.ts'
import type { Status } from './list/status-lines.ts'
import { callPolicyResource, isPolicyCommand, type PolicyAnswer } from './policies/policy-resource.ts'
import { type FoundAgent, findAgent, resolveAgentId } from './services/find-agent.ts'
import type { TenantContext } from './tenant-context.ts'
import type { TenantCommand } from './tenant-options.ts'

/** What a command found out; what it did was reported as events. */
export type TenantResult =
  /** `interrupted`: by the operator, with what was done left as it is. */
  | { readonly type: 'done'; readonly agentId: string; readonly summary: string; readonly interrupted?: true }
  | ({ readonly type: 'status' } & Status)
  | { readonly type: 'ids'; readonly where: 'registrar' | 'verifier'; readonly ids: readonly string[] }
  | {
      readonly type: 'agents'
      readonly agents: Readonly<Record<string, AgentStatus>>
      /** Ids that only the registrar knows; none when it was not asked. */
      readonly notEnrolled: readonly string[]
    }
  | ({ readonly type: 'machines' } & MachineList)
  | { readonly type: 'revocations'; readonly revocations: readonly ReportedRevocation[] }
  | Listing
  | { readonly type: 'policy'; readonly answer: PolicyAnswer }
  | { readonly type: 'story'; readonly story: Story; readonly all: boolean; readonly wantsPatch: boolean }

/** What `list` shows without a filter. */
const EVERY_MACHINE: MachineFilter = { words: [], asks: true }

/** Words of whoever looks how things are. */
const SHOWS_MACHINES: readonly TenantCommand[] = ['list', 'status']

/** Runs one command of the tenant, whichever face it came through. */
export async function runTenantCommand(
  context: TenantContext,
  command: TenantCommand,
  filter: MachineFilter = EVERY_MACHINE,
): Promise<TenantResult> {
  if (SHOWS_MACHINES.includes(command)) for (const text of await soonEnding(context)) context.report({ type: 'warning', text })
  if (isPolicyCommand(command)) return { type: 'policy', answer: await callPolicyResource(context, command) }
  switch (command) {
    case 'add':
    case 'update':
      return enrolled(await addAgent(context, command))
    case 'delete':
      return deleteAgent(context)
    case 'attest':
      return attest(context)
    case 'reactivate':
      return reactivate(context)
    case 'revoke':
      return { type: 'done', ...(await revokeAgent(context)) }
    case 'forget':
      return { type: 'done', ...(await forgetAgent(context)) }
    case 'replace':
      return tookOver(await replaceAgent(context), 'registers and is updated')
    case 'rename':
      return tookOver(await renameAgent(context), 'registers under the new id and is added')
    case 'regdelete':
      return deleteFromRegistrar(context)
    case 'expect':
      return expectTpm(context)
    case 'pending':
      return pendingMachines(context)
    case 'approve':
      return { type: 'done', ...(await approveMachine(context)) }
    case 'reglist':
      return { type: 'ids', where: 'registrar', ids: await context.registrar.agentIds() }
    case 'cvlist':
      return { type: 'ids', where: 'verifier', ids: await verifierIds(context) }
    case 'revocations':
      return { type: 'revocations', revocations: await context.verifier.revocations() }
    case 'explain':
      return explain(context)
    case 'bulkinfo':
      return { type: 'agents', agents: await allAgents(context), notEnrolled: [] }
    case 'list':
      await tellWaiting(context)
      return { type: 'machines', ...(await listMachines(context, filter)) }
    case 'ekroots':
      throw new KeylimeError('usage', 'ekroots needs no server') // `ekroots-command.ts`
    case 'history':
      throw new KeylimeError('usage', 'history is printed page by page') // `show-history.ts`
    default:
      return agentStatus(context, command)
  }
}

async function tellWaiting(context: TenantContext): Promise<void> {
  const text = await waitingNote(context)
  if (text) context.report({ type: 'warning', text })
}

async function deleteAgent(context: TenantContext): Promise<TenantResult> {
  const agentId = await chooseAgent(context, 'delete')
  const known = await deleteFromVerifier(context, agentId)
  context.report({ type: 'deleted', agentId, known })
  return { type: 'done', agentId, summary: known ? `agent ${agentId} is no longer attested` : `the verifier did not have agent ${agentId}` }
}

function enrolled({ agentId, attested, delivered, unchanged }: Enrolled): TenantResult {
  if (unchanged) return { type: 'done', agentId, summary: `agent ${agentId} stays as it is: the update changes nothing` }
  const later = `agent ${agentId} stays enrolled, and gets its payload when it comes: \`keylime tenant status -u ${agentId}\` shows it`
  if (delivered === 'interrupted') return { type: 'done', agentId, summary: `interrupted: ${later}`, interrupted: true }
  const proof = { proved: ', and its payload is delivered', waiting: ', and gets its payload when it comes' }
  return { type: 'done', agentId, summary: `agent ${agentId} is ${trustText(attested)}${delivered ? proof[delivered] : ''}` }
}

function tookOver({ agentId, enrolled: done }: { agentId: string; enrolled: Enrolled | undefined }, later: string): TenantResult {
  if (done) return enrolled(done)
  return {
    type: 'done',
    agentId,
    summary: `agent ${agentId} is free for a new registration: nothing attests it until its machine ${later}`,
  }
}

function trustText(attested: Enrolled['attested'], again = ''): string {
  if (!attested) return 'enrolled'
  return attested === 'by policy' ? `trusted${again}` : `attested${again} (no policy: any state is accepted)`
}

async function explain(context: TenantContext): Promise<TenantResult> {
  const { all = false, patch = '' } = context.options
  const story = await tellStory(context, await verifierAgentId(context))
  return { type: 'story', story, all, wantsPatch: patch !== '' }
}

async function reactivate(context: TenantContext): Promise<TenantResult> {
  const agentId = await verifierAgentId(context)
  await context.verifier.reactivate(agentId)
  context.report({ type: 'reactivated', agentId })
  if (!context.options.wait) return { type: 'done', agentId, summary: `agent ${agentId} will be attested again` }
  const started = await context.verifier.agent(agentId)
  const status = await waitForVerdict(context, agentId, { hasKey: false, before: started?.attestation_count ?? 0 })
  return { type: 'done', agentId, summary: `agent ${agentId} is ${trustText(trustOf(status), ' again')}` }
}

const TOLD = { asked: 'is asked now', woken: 'was woken, and brings its evidence', later: 'is told when it comes next' } as const

async function attest(context: TenantContext): Promise<TenantResult> {
  const agentId = await verifierAgentId(context)
  const before = (await context.verifier.agent(agentId))?.attestation_count ?? 0
  const told = await context.verifier.attest(agentId)
  if (!context.options.wait) return { type: 'done', agentId, summary: `agent ${agentId} ${TOLD[told]}` }
  const status = await waitForVerdict(context, agentId, { hasKey: false, before, isNext: true })
  return { type: 'done', agentId, summary: `agent ${agentId} is ${trustText(trustOf(status))}: this verdict is new` }
}

async function deleteFromRegistrar(context: TenantContext): Promise<TenantResult> {
  const agentId = await chooseAgent(context, 'regdelete')
  const known = await context.registrar.delete(agentId)
  context.report({ type: 'deleted', agentId, known })
  return { type: 'done', agentId, summary: known ? `agent ${agentId} is no longer registered` : `agent ${agentId} was not registered` }
}

async function agentStatus(context: TenantContext, command: TenantCommand): Promise<TenantResult> {
  if (command === 'cvstatus') {
    const agentId = await verifierAgentId(context)
    return { type: 'status', agentId, registered: undefined, status: await context.verifier.agent(agentId), wasAsked: false }
  }
  const found = await findAgent(context, context.options).catch((error: unknown) => error)
  if (!isFound(found)) return unregistered(context, command, found)
  const { agentId, registered } = found
  if (command === 'regstatus') return { type: 'status', agentId, registered, status: undefined }
  const status = await context.verifier.agent(agentId)
  if (status && comesByOf(status) === 'push')
    return { type: 'status', agentId, registered, status, payload: broughtProgress(status), wasAsked: false }
  return { type: 'status', agentId, registered, status, payload: await payloadOnAgent(context, found) }
}

const isFound = (found: unknown): found is FoundAgent => typeof found === 'object' && found !== null && 'registered' in found

/** A machine may be enrolled and not registered, as while `replace` waits for it. @throws what kept it from being found, for any other. */
async function unregistered(context: TenantContext, command: TenantCommand, error: unknown): Promise<TenantResult> {
  const isMissing = isKeylimeError(error) && error.code === 'agent_not_found'
  if (!isMissing || command !== 'status' || !context.options.agentId) throw error
  const agentId = await verifierAgentId(context)
  const status = await context.verifier.agent(agentId)
  if (!status) throw error
  return { type: 'status', agentId, registered: undefined, status, wasAsked: false, isUnregistered: true }
}

const verifierIds = ({ verifier, options }: TenantContext) => verifier.agentIds(options.verifierId ?? '')

/** The agent that is meant. */
const verifierAgentId = (context: TenantContext) => resolveAgentId(context, context.options)

const allAgents = ({ verifier, options }: TenantContext) => verifier.agentStatuses(options.verifierId ?? '')
