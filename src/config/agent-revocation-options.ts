import { boolean, host, list, longSeconds, option, options, path, port, seconds, text } from './option.ts'

/** What an agent does with revocations of other machines. */
export const agentRevocationOptions = options({
  enable_revocation_notifications: option({
    parse: boolean,
    formerly: 'listen_notifications',
    default: false,
    doc: 'Also take revocations over ZeroMQ, from the address below. The agent always takes revocations over its REST interface.',
  }),
  revocation_notification_ip: option({ parse: host, default: '127.0.0.1', doc: 'Address of the ZeroMQ publisher.' }),
  revocation_notification_port: option({ parse: port, default: 8992, doc: 'Port of the ZeroMQ publisher.' }),
  revocation_cert: option({
    parse: path,
    default: 'default',
    doc: 'Certificate that must have signed a revocation. `default` is secure/unzipped/RevocationNotifier-cert.crt.',
  }),
  revocation_actions: option({
    parse: list,
    default: [],
    doc: 'Actions of this machine. They run when a revocation arrives, before the actions of the payload.',
  }),
  revocation_actions_dir: option({
    parse: path,
    default: '/usr/libexec/keylime',
    doc: 'Directory that contains the programs in revocation_actions.',
  }),
  allow_payload_revocation_actions: option({ parse: boolean, default: true, doc: 'Also run actions that came with the payload.' }),
  revocation_action_timeout: option({
    parse: seconds,
    default: 60,
    ours: true,
    doc: 'Seconds after which the agent kills a revocation action and everything that it started.',
  }),
  revocation_max_age: option({
    parse: longSeconds,
    default: 2_592_000,
    ours: true,
    doc: 'Seconds after which a signed revocation is too old to act on. Otherwise someone could record one and show it to machines that have not seen it. The default is 30 days; 0 accepts any age. If the clock of this machine runs ahead, new revocations look old.',
  }),
  revocation_actions_run_as: option({
    parse: text,
    default: '',
    ours: true,
    doc: 'User, or user:group, that runs revocation actions. If it is empty, the agent’s own user. Another user works only if the agent stays root (`run_as = ""`).',
  }),
  revocation_actions_go_on: option({
    parse: boolean,
    default: true,
    ours: true,
    doc: 'If an action fails, run the remaining ones. With `false` the agent stops there, as the Rust agent does.',
  }),
})
