import type { AgentStatus } from '../../core/api/agent-status.ts'
import type { IdentityQuote } from '../../core/api/identity-quote.ts'
import type { DemandChange } from '../../core/policy/demand-changes.ts'

/** What happened, in the order in which it happened. The renderers turn it into lines; nothing here is secret. */
export type TenantEvent =
  | { readonly type: 'working'; readonly text: string }
  | { readonly type: 'warning'; readonly text: string }
  | {
      readonly type: 'agent_found'
      readonly agentId: string
      readonly host: string
      readonly port: number
      /** `push`: nobody contacts it. */
      readonly comesBy: 'pull' | 'push'
      readonly by: FoundBy
      readonly regcount: number
    }
  | { readonly type: 'payload_ready'; readonly kind: 'file' | 'certificate' | 'key'; readonly files: number; readonly bytes: number }
  | {
      readonly type: 'certificate_ready'
      readonly name: string
      readonly serial: bigint
      readonly directory: string
      readonly isNewAuthority: boolean
    }
  | {
      readonly type: 'quote_verified'
      readonly agentId: string
      readonly host: string
      readonly port: number
      readonly reply: IdentityQuote
    }
  | { readonly type: 'ek_verified'; readonly maker: string; readonly anchor: string }
  | { readonly type: 'ek_unchecked' }
  | { readonly type: 'ek_script_passed'; readonly script: string; readonly output: string }
  | ({ readonly type: 'change' } & DemandChange)
  | { readonly type: 'share_sent'; readonly payloadBytes: number }
  | { readonly type: 'delivery_sealed'; readonly agentId: string; readonly generation: number; readonly operator: string }
  | { readonly type: 'enrolled'; readonly agentId: string; readonly tries: number }
  | { readonly type: 'enrolled_status'; readonly agentId: string; readonly status: AgentStatus }
  | { readonly type: 'attested'; readonly agentId: string; readonly status: AgentStatus; readonly released: boolean }
  /** Again and again, as long as it does. `lastSeen`: seconds since the epoch, null for never. */
  | { readonly type: 'waiting'; readonly agentId: string; readonly lastSeen: number | null }
  | { readonly type: 'key_proved'; readonly agentId: string }
  | { readonly type: 'unpacked'; readonly agentId: string; readonly files: number; readonly script: 'none' | 'running' | 'done' | 'failed' }
  | { readonly type: 'deleted'; readonly agentId: string; readonly known: boolean }
  | { readonly type: 'reactivated'; readonly agentId: string }

export type FoundBy = 'id' | 'prefix' | 'name' | 'address'

export type Report = (event: TenantEvent) => void
