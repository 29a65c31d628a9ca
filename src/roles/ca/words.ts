import type { Argv } from 'yargs'
import type { SharedWord } from '../../core/cli/command-tree.ts'
import type { CommandWords } from '../../core/cli/without-effect.ts'

/** Words of `keylime ca`, and what has an effect with each. */
export const CA_WORDS: CommandWords = {
  program: 'keylime ca',
  always: ['dir', 'command', 'json', 'password-file', 'debug', 'check-config', 'show-config', 'subject'],
  used: {
    init: ['yes'],
    create: ['name', 'san', 'days', 'csr', 'role', 'replace'],
    operator: ['name', 'days', 'csr', 'replace'],
    reissue: [],
    rotate: ['finish', 'yes', 'leave-behind', 'verifier'],
    pkg: ['name', 'insecure'],
    revoke: ['name', 'serial', 'reason'],
    list: [],
    show: ['name'],
    crl: [],
    'import-priv': ['serial', 'file'],
    passwd: ['new-password-file'],
    listen: ['name'],
  },
}

/** What each word does, for the help. */
const MEANINGS: Readonly<Record<string, string>> = {
  init: 'Create an authority',
  create: 'Issue a certificate, and make its key',
  pkg: 'Put a certificate, its key and the authority’s certificate into a zip',
  revoke: 'Revoke certificates, and publish the list',
  list: 'List all certificates: serial, state, dates',
  show: 'Show everything about one certificate',
  crl: 'Publish the revocation list again',
  'import-priv': 'Import the authority’s key in PEM',
  operator: 'Issue a certificate to an operator, as a package',
  reissue: 'Sign the authority again, so that its certificates have roles',
  rotate: 'Create the next authority; both count until --finish',
  passwd: 'Change the password of private.yml',
  listen: 'Serve the list and OCSP, and take notices from the verifier',
}

export const WORDS: readonly string[] = Object.keys(MEANINGS)

/** Words that are about one certificate. */
export const WITH_NAME: readonly string[] = ['create', 'pkg', 'revoke', 'show', 'operator']

/** The same, with the options that have an effect with each. */
export const SHARED_WORDS: readonly SharedWord[] = WORDS.map((word) => ({
  word,
  describe: MEANINGS[word]!,
  options: [...CA_WORDS.used[word]!, ...CA_WORDS.always].filter((name) => name !== 'subject' || WITH_NAME.includes(word)),
}))

/** A line for each word, or for the one that is asked about. */
export const wordLines = (asked: string | undefined): string =>
  WORDS.filter((word) => asked === undefined || word === asked)
    .map((word) => `  ${word.padEnd(11)}  ${MEANINGS[word]}`)
    .join('\n')

/** Leaves only the options of one word in the help. */
export function hideOthers(asked: string | undefined, yargs: Argv): Argv {
  if (asked === undefined) return yargs
  const idle = Object.values(CA_WORDS.used)
    .flat()
    .filter((name) => !CA_WORDS.used[asked]!.includes(name))
  return [...new Set(idle)].reduce((cli, name) => cli.hide(name), yargs)
}

/** The word that a command line has. */
export const wordAsked = (args: readonly string[]): string | undefined => args.find((arg) => WORDS.includes(arg))
