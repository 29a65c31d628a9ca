import fs from 'node:fs'
import path from 'node:path'
import { loadAgentSettings } from '../../../../src/roles/agent/agent-settings.ts'
import { type RunningAgent, startAgent } from '../../../../src/roles/agent/start.ts'
import { BOOT_AGGREGATE, imaLine } from '../../../ima.ts'
import { AgentBed } from '../agent-bed.ts'
import { StrictVerifier } from './strict-verifier.ts'

/** A registrar, a software TPM, a verifier that takes evidence, and an agent that brings it. */
export class PushBed {
  readonly servers = new AgentBed()
  readonly log: string[] = []
  verifier!: StrictVerifier
  agent: RunningAgent | null = null

  get tlsDir(): string {
    return path.join(this.servers.place.dir, 'cv_ca')
  }

  async start(): Promise<void> {
    await this.servers.startServers()
    fs.writeFileSync(this.servers.imaLog, `${BOOT_AGGREGATE}\n`)
    this.verifier = new StrictVerifier(this.servers.agentDir, this.tlsDir)
    await this.verifier.start()
  }

  /** One more file was run. */
  measure(name: string): void {
    fs.appendFileSync(this.servers.imaLog, `${imaLine(`ima-ng sha256:${'ab'.repeat(32)} ${name}`)}\n`)
  }

  async startAgent(changes: Record<string, string> = {}): Promise<void> {
    const env = {
      PATH: process.env['PATH'],
      KEYLIME_DIR: this.servers.agentDir,
      TCTI: this.servers.tpm.tcti,
      KEYLIME_AGENT_RUN_AS: '',
      KEYLIME_AGENT_IP: '',
      KEYLIME_AGENT_REGISTRAR_PORT: String(this.servers.registrar.port),
      KEYLIME_AGENT_VERIFIER_URL: `https://127.0.0.1:${this.verifier.port}`,
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: path.join(this.tlsDir, 'cacert.crt'),
      KEYLIME_AGENT_ATTESTATION_INTERVAL_SECONDS: '0.5',
      KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'ecc',
      KEYLIME_AGENT_TPM_SIGNING_ALG: 'ecdsa',
      KEYLIME_AGENT_IMA_ML_PATH: this.servers.imaLog,
      KEYLIME_AGENT_MEASUREDBOOT_ML_PATH: path.join(this.servers.place.dir, 'boot'),
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_INITIAL_DELAY: '20',
      KEYLIME_AGENT_EXPONENTIAL_BACKOFF_MAX_RETRIES: '3',
      ...changes,
    }
    this.agent = await startAgent(loadAgentSettings(env, { timeoutMs: 800 }), this.#logger())
  }

  #logger() {
    const note = (level: string) => (message: string, fields?: Record<string, unknown>) =>
      void this.log.push(`${level} ${message}${fields ? ` ${JSON.stringify(fields)}` : ''}`)
    const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: () => logger }
    return logger
  }

  /** Lines that an operator sees. */
  told(pattern: RegExp): string[] {
    return this.log.filter((line) => !line.startsWith('debug') && pattern.test(line))
  }

  async stopAgent(): Promise<void> {
    await this.agent?.stop()
    this.agent = null
  }

  async stop(): Promise<void> {
    await this.stopAgent()
    await this.verifier?.stop()
    await this.servers.stop()
  }
}
