import type { TenantContext } from '../tenant-context.ts'

/** The most that a plaintext may have so that IV, tag and base64 keep it below `max_payload_size`. */
export function plaintextLimit({ config }: Pick<TenantContext, 'config'>): number {
  return Math.floor(config.max_payload_size / 4) * 3 - 32
}
