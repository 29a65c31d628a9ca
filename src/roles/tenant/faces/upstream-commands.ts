import { type AgentStatus, agentStatuses } from '../../../core/api/agent-status.ts'
import { parseMessage } from '../../../core/api/parse-message.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { pythonJson } from '../../../core/python/python-json.ts'
import { pythonRepr } from '../../../core/python/python-text.ts'
import { addAgent } from '../enrol/add-agent.ts'
import { deleteFromVerifier } from '../enrol/delete-from-verifier.ts'
import { callPolicyResource, isPolicyCommand } from '../policies/policy-resource.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantCommand } from '../tenant-options.ts'
import { agentInfo, type UpstreamOutput, withStateText } from './render-upstream.ts'

/** One command in upstream's form: the same calls, upstream's words, upstream's exit status (policies E.1). */
export async function runUpstreamCommand(context: TenantContext, command: TenantCommand, output: UpstreamOutput): Promise<number> {
  const face = new UpstreamFace(context, output)
  if (isPolicyCommand(command)) return face.policy(command)
  switch (command) {
    case 'add':
    case 'update':
      await addAgent(context, command)
      return 0
    case 'delete':
      return face.delete()
    case 'status':
      return (await face.registrarStatus()) || face.verifierStatus()
    case 'regstatus':
      return face.registrarStatus()
    case 'cvstatus':
      return face.verifierStatus()
    case 'reglist':
      return face.registrarList()
    case 'cvlist':
      return face.verifierList()
    case 'bulkinfo':
      return face.bulkInfo()
    case 'reactivate':
      return face.reactivate()
    case 'regdelete':
      return face.deleteFromRegistrar()
    default:
      throw new KeylimeError('usage', `Invalid command specified: ${command}`) // one of ours: upstream's tenant has no such word
  }
}

class UpstreamFace {
  readonly #context: TenantContext
  readonly #output: UpstreamOutput
  readonly #agentId: string
  readonly #registrar: string

  constructor(context: TenantContext, output: UpstreamOutput) {
    this.#context = context
    this.#output = output
    this.#agentId = context.options.agentId ?? ''
    this.#registrar = `${context.registrar.address.host}:${context.registrar.address.port}`
  }

  async registrarStatus(): Promise<number> {
    const { log } = this.#output
    const id = this.#agentId
    const { host, port } = this.#context.registrar.address
    const agent = await this.#context.registrar.agent(id)
    if (!agent) {
      log('INFO', `Agent ${id} does not exist on the registrar. Please register the agent with the registrar.`)
      log('INFO', pythonJson({ code: 404, status: `Agent ${id} does not exist on registrar ${host} port ${port}.`, results: {} }))
      log(
        'ERROR',
        `Agent ${id} does not exist on Registrar (${this.#registrar}). Check the agent logs to for error messages while attempting to get registered.`,
      )
      return 1
    }
    const { aik_tpm, regcount = null, ek_tpm = null, ip = null, port: agentPort = null, mtls_cert = null, ekcert = null } = agent
    const facts = { aik_tpm, regcount, ek_tpm, ip, port: agentPort, mtls_cert, ekcert, operational_state: 'Registered' }
    const status = `Agent ${id} exists on registrar ${host} port ${port}.`
    log('INFO', `Status from Registrar (${this.#registrar}): ${status}`)
    log('INFO', pythonJson({ code: 200, status, results: { [id]: facts } }))
    log('INFO', `Agent Info from Registrar (${this.#registrar}):\n${pythonJson({ [id]: facts })}`)
    return 0
  }

  async verifierStatus(): Promise<number> {
    const status = await this.#context.verifier.agent(this.#agentId)
    if (status) {
      this.#showStatus(status)
      return 0
    }
    this.#saysUnknown()
    this.#output.log('ERROR', `Agent ${this.#agentId} does not exist on Verifier (${this.#output.verifier}).`)
    return 1
  }

  async registrarList(): Promise<number> {
    const { host, port } = this.#context.registrar.address
    const { status, message, results } = await this.#context.registrar.raw('GET', '/agents/')
    if (status !== 200) return this.#fail(`Registrar answered ${status}: ${message}`)
    this.#output.log('INFO', `From registrar ${host} port ${port} retrieved ${pythonJson({ code: status, status: message, results })}\n`)
    this.#output.log('INFO', `Agent list from Registrar (${this.#registrar}) retrieved: \n${pythonJson(results)}`)
    return 0
  }

  async verifierList(): Promise<number> {
    const { host, port } = this.#context.verifier.address
    const { status, message, results } = await this.#verifierAgents({})
    if (status !== 200) {
      this.#output.log('INFO', `Verifier at ${host} with Port ${port} does not have agents (${status} ${message}).`)
      return 0
    }
    this.#output.log('INFO', `From verifier ${host} port ${port} retrieved: "${pythonRepr({ code: status, status: message, results })}"\n`)
    this.#output.log('INFO', `Agent list from Verifier (${this.#output.verifier}) retrieved: \n${pythonJson(results)}`)
    return 0
  }

  async bulkInfo(): Promise<number> {
    const { status, message, results } = await this.#verifierAgents({ bulk: 'True' })
    if (status !== 200) return this.#fail(`Verifier answered ${status}: ${message}`)
    const agents = Object.entries(parseMessage(agentStatuses, results ?? {}, 'the verifier’s answer')).map(([id, agent]) => [
      id,
      withStateText(agent),
    ])
    this.#output.log('INFO', `Bulk Agent Info:\n${pythonJson(Object.fromEntries(agents))}`)
    return 0
  }

  async delete(): Promise<number> {
    if (!this.#context.options.noVerifierCheck) {
      const status = await this.#context.verifier.agent(this.#agentId)
      if (!status) {
        this.#saysUnknown()
        this.#output.log('INFO', `The Agent ${this.#agentId} is deleted from Verifier (${this.#output.verifier})`)
        return 0
      }
      this.#showStatus(status)
    }
    await deleteFromVerifier(this.#context, this.#agentId)
    this.#output.log('INFO', `Agent ${this.#agentId} deleted from the CV`)
    return 0
  }

  async reactivate(): Promise<number> {
    if (!this.#context.options.noVerifierCheck) {
      const code = await this.verifierStatus()
      if (code !== 0) return code
    }
    await this.#context.verifier.reactivate(this.#agentId)
    this.#output.log('INFO', `Agent ${this.#agentId} re-activated`)
    this.#output.log('INFO', `Agent ${this.#agentId} re-activated`)
    return 0
  }

  async deleteFromRegistrar(): Promise<number> {
    const known = await this.#context.registrar.delete(this.#agentId)
    if (!known) this.#output.log('WARNING', `Response code 404: Agent with ID '${this.#agentId}' not found`)
    return 0
  }

  async policy(command: TenantCommand): Promise<number> {
    const { action, kind, response } = await callPolicyResource(this.#context, command)
    const { status, message, results } = response
    const text = status === 204 ? '{}' : pythonRepr({ code: status, status: message, results })
    if (action === 'show') this.#output.print(`${kind === 'runtime' ? 'Show allowlist' : 'showmbpolicy'} command response: ${status}.`)
    if (action === 'list') this.#output.print(`${kind === 'runtime' ? 'list' : 'listmbpolicy'} command response: ${status}.`)
    this.#output.print(text)
    if (status < 400) return 0
    this.#output.log('ERROR', text)
    return 1
  }

  #verifierAgents(query: Record<string, string>) {
    return this.#context.verifier.agents(this.#context.options.verifierId ?? '', query)
  }

  #showStatus(status: AgentStatus): void {
    const id = this.#context.options.verifierId
    this.#output.log(
      'INFO',
      `Agent Info from Verifier ${id ? `${id} ` : ''}(${this.#output.verifier}):\n${agentInfo(this.#agentId, status)}`,
    )
  }

  #saysUnknown(): void {
    const { host, port } = this.#context.verifier.address
    this.#output.log('INFO', `Verifier at ${host} with Port ${port} does not have agent ${this.#agentId}.`)
  }

  #fail(text: string): number {
    this.#output.log('ERROR', text)
    return 1
  }
}
