import type { Mailbox } from '../../../src/core/api/push/delivery.ts'
import { type Listening, serve } from '../../../src/io/http/server.ts'
import { silentLogger } from '../../../src/io/log/logger.ts'
import type { TenantWorld } from './fixtures.ts'

/** What a tenant sent. */
export interface Sent {
  method: string
  agentId: string
  // biome-ignore lint/suspicious/noExplicitAny: the body as it came
  body: any
}

/** A verifier that is older, upstream's, or lies: what the real one never does, over real TLS. */
export class ScriptedVerifier {
  /** What it answers to a check; null: it has none, as upstream's. */
  check: object | null = { refused: null, delivery: 1 }
  readonly sent: Sent[] = []
  /** What it says of a machine; undefined for none. */
  status: (agentId: string) => Record<string, unknown> | undefined = () => undefined
  #listening!: Listening

  async start(world: TenantWorld): Promise<void> {
    const taken = (method: 'POST' | 'PUT', path: string) => ({
      method,
      path,
      access: 'admin' as const,
      body: { maxBytes: 1 << 20 },
      handle: ({ params, body }: { params: Record<string, string>; body: unknown }) => {
        this.sent.push({ method: path.endsWith('/stop') ? 'stop' : method, agentId: params['id']!, body })
        return { results: {} }
      },
    })
    this.#listening = await serve({
      host: '127.0.0.1',
      port: 0,
      tls: world.serverTls(),
      versions: ['2.5', '2.6'],
      logger: silentLogger,
      routes: [
        {
          method: 'GET',
          path: '/version',
          access: 'public',
          handle: () => ({ results: { current_version: '2.6', supported_versions: ['2.5', '2.6'] } }),
        },
        {
          method: 'GET',
          path: '/v:version/agents/:id',
          access: 'admin',
          handle: ({ params }) => {
            const results = this.status(params['id']!)
            if (results?.['status'] === 503) return { status: 503 }
            return results ? { results } : { status: 404, message: 'agent id not found' }
          },
        },
        {
          method: 'POST',
          path: '/v:version/enrolments/:id/check',
          access: 'admin',
          body: { maxBytes: 1 << 20 },
          handle: () => (this.check ? { results: this.check } : { status: 404, message: 'no such path' }),
        },
        taken('POST', '/v:version/agents/:id'),
        taken('PUT', '/v:version/agents/:id'),
        taken('PUT', '/v:version/agents/:id/stop'),
      ],
    })
  }

  get port(): number {
    return this.#listening.port
  }

  get mailbox(): Mailbox {
    return this.sent.at(-1)!.body.delivery
  }

  stop = () => this.#listening.close(0)
}
