// `npm run docs`: writes docs/guide/configuration.md from the option tables. A test compares them.
import fs from 'node:fs'
import path from 'node:path'
import { describeAsMarkdown } from '../src/config/describe.ts'
import { CONFIGURED_ROLES, TABLES } from '../src/config/tables.ts'

const INTRODUCTION = `# Configuration

Each role reads \`/etc/keylime/ROLE.conf\` (or \`/usr/etc/keylime/ROLE.conf\`), then every file in \`ROLE.conf.d\`, then the environment. Names, files and
defaults are upstream's. \`KEYLIME_ROLE_CONFIG\` names another file, \`KEYLIME_DIR\` (\`/var/lib/keylime\`) is where keys and state are and what relative
paths refer to. [Look at the configuration, and change it](changing-the-configuration.md) has the commands for it.
`

/** The whole page. */
export const configurationPage = (): string =>
  [INTRODUCTION, ...CONFIGURED_ROLES.map((role) => `## ${role}.conf\n\n${describeAsMarkdown(role, TABLES[role])}`)].join('\n')

if (process.argv[1] === import.meta.filename)
  fs.writeFileSync(path.join(import.meta.dirname, 'guide/configuration.md'), configurationPage())
