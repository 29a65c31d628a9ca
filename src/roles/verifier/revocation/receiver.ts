import type { StoredRevocation } from '../../../io/db/revocation-tables.ts'

/** Empty for a receiver that is none: a machine may be named as one. */
export const agentIdOf = (target: string): string => (target.startsWith('agent:') ? target.slice('agent:'.length) : '')

/** @param isOurs of an agent. @param others what counts for receivers that are none. */
export const isFor = (target: string, isOurs: (agentId: string) => boolean, others = true): boolean =>
  target.startsWith('agent:') ? isOurs(agentIdOf(target)) : others

/** Of a delivery. With the time, as a database server that took over for another gives its last ids again. */
export const keyOf = ({ id, createdAt }: Pick<StoredRevocation, 'id' | 'createdAt'>, target: string): string =>
  `${id} ${createdAt} ${target}`
