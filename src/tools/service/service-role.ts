/** The roles that run as services. */
export const SERVICE_ROLES = ['agent', 'verifier', 'registrar', 'ca'] as const
export type ServiceRole = (typeof SERVICE_ROLES)[number]

/** What is of one role alone in KEYLIME_DIR: names of files and directories; a star stands for the rest of a name. */
export const STATE: Readonly<Record<ServiceRole, readonly string[]>> = {
  agent: [
    'agent_data*',
    'server-private.pem',
    'server-cert.crt',
    'payload-private.pem',
    'secure',
    'action-room',
    'accepted-delivery.json',
    'followed-authorities.json',
    'handled-revocations',
    'verifier-notifier-cert.crt',
    'waiting-revocations.json',
    '.agent.lock',
  ],
  verifier: ['cv_data.sqlite*', 'audit.log*', 'cv_ca', 'cv_ca-password', 'notifier-private.pem', 'notifier-cert.crt'],
  registrar: ['reg_data.sqlite*', 'reg_ca', 'reg_ca-password'],
  ca: ['ca'],
}
