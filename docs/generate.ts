// `npm run docs`: writes docs/guide/configuration.md from the option tables. A test compares them.
import fs from 'node:fs'
import path from 'node:path'
import { describeAsMarkdown } from '../src/config/describe.ts'
import { CONFIGURED_ROLES, TABLES } from '../src/config/tables.ts'

const INTRODUCTION = `# Configuration

Each role reads \`/etc/keylime/ROLE.conf\` (or \`/usr/etc/keylime/ROLE.conf\`), then every file in \`ROLE.conf.d\`, then the environment. The names, the files and
the defaults are upstream's. [Look at the configuration, and change it](changing-the-configuration.md) has the commands.

Every option also has a variable, which overrides the files: \`KEYLIME_VERIFIER_QUOTE_INTERVAL\` is \`quote_interval\` of the verifier, and
\`KEYLIME_VERIFIER_REVOCATIONS_ZMQ_IP\` is \`zmq_ip\` in its section \`[revocations]\`. \`KEYLIME_ROLE_CONFIG\` names another file to read. \`KEYLIME_DIR\` is the directory for keys and state, and relative paths are below it. Its default is \`/var/lib/keylime\`.
`

/** The whole page. */
export const configurationPage = (): string =>
  [INTRODUCTION, ...CONFIGURED_ROLES.map((role) => `## ${role}.conf\n\n${describeAsMarkdown(role, TABLES[role])}`)].join('\n')

if (process.argv[1] === import.meta.filename)
  fs.writeFileSync(path.join(import.meta.dirname, 'guide/configuration.md'), configurationPage())
