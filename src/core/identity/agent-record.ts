/** What the registrar knows of an agent. EK, AK and id are bound for ever once the TPM has proved that it holds both (invariant 3). */
export interface AgentRecord {
  agentId: string
  /** TPM2B_PUBLIC; made from the certificate for agents that send only that. */
  ek: Buffer
  /** DER, as received. */
  ekCertificate: Buffer | null
  /** TPM2B_PUBLIC. */
  ak: Buffer
  iak: Buffer | null
  iakCertificate: Buffer | null
  idevid: Buffer | null
  idevidCertificate: Buffer | null
  /** PEM; `disabled` for agents without mTLS; null when the agent said nothing. */
  mtlsCertificate: string | null
  ip: string | null
  port: number | null
  /** Registrations so far, the first is 1. */
  regcount: number
}
