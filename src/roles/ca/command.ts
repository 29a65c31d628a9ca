import path from 'node:path'
import type { Argv } from 'yargs'
import { packageCertificate } from '../../authority/certificate-package.ts'
import { changePassword } from '../../authority/change-password.ts'
import { createCertificate } from '../../authority/create-certificate.ts'
import { importKey, initAuthority } from '../../authority/init-authority.ts'
import { issueOperator, type OperatorRequest } from '../../authority/issue-operator.ts'
import { unknownSerials } from '../../authority/issued-certificates.ts'
import { listAllCertificates, showCertificate } from '../../authority/list-certificates.ts'
import { withAuthority } from '../../authority/open-authority.ts'
import { reissueAuthority } from '../../authority/reissue-authority.ts'
import { revokedSerialsOf } from '../../authority/revocation-list.ts'
import { revokeCertificate } from '../../authority/revoke-certificate.ts'
import { unknownSerialsText } from '../../authority/revoked-words.ts'
import { caOptions } from '../../config/ca.ts'
import { showConfig } from '../../config/effective.ts'
import { keylimeDirectory } from '../../config/files.ts'
import { refuseWithoutEffect } from '../../core/cli/without-effect.ts'
import { KeylimeError } from '../../core/errors.ts'
import { REVOCATION_REASONS, type RevocationReason } from '../../core/pki/crl.ts'
import { ROLES, type Role } from '../../core/pki/roles.ts'
import { noteLine, printJson, printLines } from '../../io/terminal/print.ts'
import { showCheck } from '../../io/terminal/show-check.ts'
import { checkCaOf } from './check-ca.ts'
import { isWordListen, runListener } from './listen/run-listener.ts'
import { type OpenedCa, openCa } from './open-ca.ts'
import { operatorOutcome, revokedOutcome } from './operator-outcome.ts'
import { certificateDetails, certificateJson, certificateTable } from './render-certificates.ts'
import { rotate } from './rotate.ts'
import { CA_WORDS, hideOthers, SHARED_WORDS, WITH_NAME, WORDS, wordAsked, wordLines } from './words.ts'

interface Arguments {
  action?: string | undefined
  subject?: string | undefined
  command?: string | undefined
  dir?: string | undefined
  name?: string | undefined
  serial?: string | undefined
  reason?: string | undefined
  san?: string[] | undefined
  days?: number | undefined
  csr?: string | undefined
  file?: string | undefined
  insecure?: boolean | undefined
  role?: Role | undefined
  replace?: boolean | undefined
  yes?: boolean | undefined
  finish?: boolean | undefined
  'leave-behind'?: boolean | undefined
  verifier?: string[] | undefined
  json?: boolean | undefined
  'password-file'?: string | undefined
  'new-password-file'?: string | undefined
  'check-config'?: boolean | undefined
  'show-config'?: boolean | undefined
}

interface Outcome {
  readonly lines: readonly string[]
  readonly json: unknown
}

const text = (describe: string, extra: object = {}) => ({ type: 'string', requiresArg: true, describe, ...extra }) as const

/** `keylime ca`. */
export const command = {
  words: SHARED_WORDS,

  builder: (yargs: Argv): Argv<Arguments> =>
    hideOthers(wordAsked(process.argv.slice(3)), yargs)
      .usage(
        `The certificate authority: issues and revokes certificates.\n\nUsage: keylime ca WORD [options]\n\n${wordLines(wordAsked(process.argv.slice(3)))}`,
      )
      .example('keylime ca init', 'a new authority in KEYLIME_DIR/ca')
      .example('keylime ca create -n web1 --san web1.example.org', 'a certificate and its key')
      .example('keylime ca revoke -n web1 --reason keyCompromise', 'revoke every certificate of web1, and publish the list')
      .example('keylime ca operator alice', 'issue a certificate to another operator, as a package')
      .example('keylime ca revoke -d /var/lib/keylime/cv_ca -n alice', 'revoke it again')
      .example('keylime ca listen', 'serve the list and OCSP, and take notices from the verifier; also: keylime ca -d listen')
      .positional('action', { type: 'string', describe: 'One of the words above', default: undefined })
      .positional('subject', { type: 'string', describe: 'The name, as with -n' })
      .option('command', text('The word, in upstream’s form', { alias: 'c' }))
      .option(
        'dir',
        text('Directory of the authority; default: KEYLIME_DIR/ca, and cv_ca for operator, reissue and rotate', { alias: 'd' }),
      )
      .option('name', text('Common name of the certificate; listen: certificate of the notifier', { alias: 'n' }))
      .option('serial', text('revoke: the serial instead of a name; import-priv: the last serial used', { alias: 's' }))
      .option('reason', { type: 'string', choices: Object.keys(REVOCATION_REASONS), requiresArg: true, describe: 'revoke: the reason' })
      .option('san', { type: 'string', array: true, describe: 'create: host names and addresses; default: the name' })
      .option('days', { type: 'number', requiresArg: true, describe: 'create, operator: how many days it is valid [cert_lifetime]' })
      .option('csr', text('create, operator: file with a signing request; the key stays with its owner'))
      .option('role', {
        choices: ROLES,
        requiresArg: true,
        describe:
          'create: server, for a verifier or registrar, may call nobody; operator may call them; verifier may ask agents, but give no orders',
      })
      .option('replace', { type: 'boolean', describe: 'create, operator: even if that name has a certificate already' })
      .option('insecure', { type: 'boolean', alias: 'i', describe: 'pkg: leave the key unprotected' })
      .option('file', text('import-priv: the key', { alias: 'f' }))
      .option('password-file', text('File with the password; default: KEYLIME_CA_PASSWORD, or ask'))
      .option('new-password-file', text('passwd: file with the new password; default: ask twice'))
      .option('yes', {
        alias: 'y',
        type: 'boolean',
        describe: 'init: destroy the existing authority; rotate --finish: even if certificates from the old authority are in use',
      })
      .option('finish', { type: 'boolean', describe: 'rotate: drop the old authority, once all machines have followed' })
      .option('leave-behind', { type: 'boolean', describe: 'rotate --finish: even if machines have not followed' })
      .option('verifier', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'rotate --finish: HOST[:PORT] of the verifier that knows which machines have followed; default: from verifier.conf',
      })
      .option('check-config', { type: 'boolean', describe: 'Check ca.conf and exit' })
      .option('show-config', { type: 'boolean', describe: 'Show the value of each option and where it comes from, and exit' })
      .option('json', { type: 'boolean', describe: 'Print JSON, for programs' }) as unknown as Argv<Arguments>,

  async run(argv: Arguments): Promise<number> {
    if (argv['show-config']) return printLines(showConfig('ca', caOptions, process.env, argv.json)) ?? 0
    if (argv['check-config'])
      return showCheck('ca', await checkCaOf(process.env, { directory: argv.dir, passwordFile: argv['password-file'] }))
    const listens = argv.action === undefined && argv.command === undefined && isWordListen(argv.dir)
    const word = listens ? 'listen' : (argv.action ?? argv.command)
    if (word === 'listen') refuseWithoutEffect(CA_WORDS, word, namesGiven(argv))
    if (word === 'listen') return listen({ ...argv, dir: listens ? undefined : argv.dir })
    const action = word && Object.hasOwn(ACTIONS, word) ? ACTIONS[word] : undefined
    if (!action) {
      throw new KeylimeError('usage', word ? `"${word}" is not something that the authority can do` : 'what should the authority do?', {
        hint: `one of: ${WORDS.join(', ')}`,
      })
    }
    checkSubject(argv, word ?? '')
    refuseWithoutEffect(CA_WORDS, word ?? '', namesGiven(argv))
    const directory = argv.dir ?? (OF_SERVICES.includes(word ?? '') ? servicesDirectory(process.env) : undefined)
    const ca = openCa({ directory, passwordFile: argv['password-file'] }, process.env)
    for (const warning of ca.config.warnings) noteLine(`warning: ${warning}`)
    const { lines, json } = await action(ca, argv)
    if (argv.json) printJson(json)
    else printLines(lines)
    return 0
  },
}

const ACTIONS: Record<string, (ca: OpenedCa, argv: Arguments) => Promise<Outcome>> = {
  async init(ca, argv) {
    const certificate = await initAuthority(await ca.access(true), { replace: Boolean(argv.yes), givesRoles: true })
    const until = new Date(certificate.notAfter).toISOString()
    return {
      lines: [`authority "${certificate.subject}" made in ${ca.directory}, valid until ${until.slice(0, 10)}`],
      json: { directory: ca.directory, subject: certificate.subject, not_after: until },
    }
  },

  async create(ca, argv) {
    const name = nameOf(argv)
    const request = {
      name,
      alternativeNames: argv.san ?? [],
      days: daysOf(argv),
      csr: argv.csr,
      replace: Boolean(argv.replace),
      role: argv.role,
    }
    const { certificate } = await createCertificate(await ca.access(), request)
    const state = await showCertificate(ca.directory, name, ca.now())
    return {
      lines: [
        `certificate ${certificate.serial} for ${name} issued, valid until ${new Date(certificate.notAfter).toISOString().slice(0, 10)}`,
      ],
      json: certificateJson(state),
    }
  },

  async pkg(ca, argv) {
    const file = await packageCertificate(await ca.access(), { name: nameOf(argv), unprotected: Boolean(argv.insecure), use: ca.tlsUse })
    return { lines: [`package ${file} written`], json: { file } }
  },

  async revoke(ca, argv) {
    const which = argv.serial === undefined ? { name: nameOf(argv) } : { serial: serialOf(argv.serial) }
    return revokedOutcome(ca, await revokeCertificate(await ca.access(), which, (argv.reason ?? 'unspecified') as RevocationReason))
  },

  async list(ca) {
    const states = await listAllCertificates(ca.directory, ca.now())
    const unknown = unknownSerialsText(await unknownSerials(ca.directory, await revokedSerialsOf(ca.directory)))
    if (unknown) noteLine(`warning: ${unknown}`)
    return { lines: certificateTable(states, ca.now()), json: states.map(certificateJson) }
  },

  async show(ca, argv) {
    const state = await showCertificate(ca.directory, nameOf(argv), ca.now())
    return { lines: certificateDetails(state), json: certificateJson(state) }
  },

  async crl(ca) {
    const { nextUpdate } = await withAuthority(await ca.access(), (authority) => authority.publishCrl())
    const next = new Date(nextUpdate ?? ca.now()).toISOString()
    return {
      lines: [`revocation list published in ${ca.directory}; the next is due on ${next.slice(0, 10)}`],
      json: { directory: ca.directory, next_update: next },
    }
  },

  async 'import-priv'(ca, argv) {
    if (!argv.serial) throw new KeylimeError('usage', 'which serial did the authority use last?', { hint: 'give it with -s' })
    await importKey(await ca.access(), argv.file ?? 'ca-private.pem', Number(serialOf(argv.serial)))
    return { lines: [`key taken into ${ca.directory}/private.yml`], json: { directory: ca.directory } }
  },

  operator: async (ca, argv) => operatorOutcome(ca, await issueOperator(await ca.access(), operatorRequest(argv)), nameOf(argv)),

  async reissue(ca) {
    const { authority, names } = await reissueAuthority(await ca.access())
    const lines = [
      `authority "${authority.subject}" signed anew in ${ca.directory}: it gives roles${names.length > 0 ? `; ${names.join(' and ')} got theirs` : ''}`,
      'start verifier and registrar again, and copy cacert.crt to the agents, at any time: who has the old one goes on as before',
    ]
    return { lines, json: { directory: ca.directory, serial: authority.serial.toString(), certificates: names } }
  },

  rotate,

  async passwd(ca, argv) {
    let password = ''
    await changePassword(await ca.access(), async () => {
      password = await ca.newPassword(argv['new-password-file'])
      return password
    })
    await ca.keepPassword(password)
    return {
      lines: [`${ca.directory}/private.yml is encrypted with the new password`],
      json: { directory: ca.directory },
    }
  },
}

const namesGiven = (argv: Arguments): string[] =>
  Object.entries(argv).flatMap(([name, value]) => (value === undefined || value === false ? [] : [name]))

/** A service: runs until it is told to stop. */
async function listen(argv: Arguments): Promise<number> {
  const ca = openCa({ directory: argv.dir, passwordFile: argv['password-file'] }, process.env)
  return runListener(ca, { notifier: argv.name, json: Boolean(argv.json) })
}

/** Words whose directory is the one of verifier and registrar. */
const OF_SERVICES = ['operator', 'reissue', 'rotate']

const servicesDirectory = (env: NodeJS.ProcessEnv): string => path.join(keylimeDirectory(env), 'cv_ca')

function checkSubject({ subject, name }: Arguments, word: string): void {
  if (subject === undefined) return
  if (!WITH_NAME.includes(word)) throw new KeylimeError('usage', `"${word}" takes no name, but was given "${subject}"`)
  if (name !== undefined) throw new KeylimeError('usage', `the name is given twice, as "${subject}" and as "${name}"`)
}

const operatorRequest = (argv: Arguments): OperatorRequest => ({
  name: nameOf(argv),
  days: daysOf(argv),
  csr: argv.csr,
  replace: Boolean(argv.replace),
})

const MOST_DAYS = 36_500

function daysOf({ days }: Arguments): number | undefined {
  if (days === undefined || (Number.isInteger(days) && days >= 1 && days <= MOST_DAYS)) return days
  throw new KeylimeError('usage', `--days must be a whole number from 1 to ${MOST_DAYS}`)
}

function nameOf(argv: Arguments): string {
  const name = argv.name ?? argv.subject
  if (!name) throw new KeylimeError('usage', 'which certificate?', { hint: 'give its name with -n' })
  return name
}

function serialOf(text: string): bigint {
  if (!/^\d{1,48}$/.test(text))
    throw new KeylimeError('usage', `"${text}" is not a serial number`, { hint: 'serials are decimal: `keylime ca list` shows them' })
  return BigInt(text)
}
