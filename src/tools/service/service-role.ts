/** The roles that run as services. */
export const SERVICE_ROLES = ['agent', 'verifier', 'registrar'] as const
export type ServiceRole = (typeof SERVICE_ROLES)[number]
