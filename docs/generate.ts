// `npm run docs`: writes docs/guide/configuration.md from the option tables. A test compares them.
import fs from 'node:fs'
import path from 'node:path'
import { agentOptions } from '../src/config/agent.ts'
import { caOptions } from '../src/config/ca.ts'
import { describeAsMarkdown } from '../src/config/describe.ts'
import { registrarOptions } from '../src/config/registrar.ts'
import { tenantOptions } from '../src/config/tenant.ts'
import { verifierOptions } from '../src/config/verifier.ts'

const INTRODUCTION = `# Configuration

Each role reads \`/etc/keylime/ROLE.conf\` (or \`/usr/etc/keylime/ROLE.conf\`), then every file in \`ROLE.conf.d\`, then the environment. Names, files and
defaults are upstream's. \`KEYLIME_ROLE_CONFIG\` names another file, \`KEYLIME_DIR\` (\`/var/lib/keylime\`) is where keys and state are and what relative
paths refer to. \`keylime ROLE --check-config\` looks at everything and starts nothing; \`keylime ROLE --show-config\` shows what counts, and where it comes from.
`

/** The whole page. */
export const configurationPage = (): string =>
  [
    INTRODUCTION,
    ...(
      [
        ['agent', agentOptions],
        ['verifier', verifierOptions],
        ['registrar', registrarOptions],
        ['tenant', tenantOptions],
        ['ca', caOptions],
      ] as const
    ).map(([role, table]) => `## ${role}.conf\n\n${describeAsMarkdown(role, table)}`),
  ].join('\n')

if (process.argv[1] === import.meta.filename)
  fs.writeFileSync(path.join(import.meta.dirname, 'guide/configuration.md'), configurationPage())
