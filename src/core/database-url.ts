import { Secret } from './secret.ts'

/** How much of TLS is asked for, in libpq's words; `allow` and `prefer` count as `require`: a server that can is never asked without. */
export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full'

/** A PostgreSQL server, as a URL names it. */
export interface PostgresServer {
  /** A name, an address, or the directory of a socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  /** Null for the system user that runs this. */
  readonly user: string | null
  /** Null where a file has it. */
  readonly password: Secret | null
  readonly passfile: string | null
  readonly tls: { readonly mode: SslMode; readonly rootCert: string | null; readonly cert: string | null; readonly key: string | null }
  readonly connectTimeoutSeconds: number
}

/** What `database_url` means. SQLite without a file: the one in KEYLIME_DIR. */
export type DatabaseUrl =
  | { readonly kind: 'sqlite'; readonly file: string | null }
  | { readonly kind: 'postgresql'; readonly server: PostgresServer }

const FORMS = 'use "sqlite", "sqlite:///PATH" for another file, or "postgresql://USER@HOST:PORT/DATABASE"'
const ESCAPED = 'in names and passwords, write special characters as %40 and the like'
const POSTGRES =
  /^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\/(?:([^:@/?]*)(?::([^@/?]*))?@)?(\[[0-9A-Fa-f:.]+\]|[^:/?@[\]]*)(?::(\d*))?(?:\/([^?]*))?(?:\?(.*))?$/s
/** Of libpq's parameters those that mean something here. */
const PARAMETERS = [
  'host',
  'port',
  'user',
  'password',
  'passfile',
  'dbname',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connect_timeout',
]
const MODES: Readonly<Record<string, SslMode>> = {
  disable: 'disable',
  allow: 'require',
  prefer: 'require',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
}
const STANDARD_PORT = 5432
const CONNECT_SECONDS = 5

/** Reads a `database_url`: SQLite, or PostgreSQL in the forms of SQLAlchemy and libpq. @throws Error that says what is wrong with it, never its password. */
export function readDatabaseUrl(url: string): DatabaseUrl {
  if (url === '' || url === 'sqlite') return { kind: 'sqlite', file: null }
  const file = /^sqlite:\/\/\/(.+)$/.exec(url)?.[1]
  if (file) return { kind: 'sqlite', file: file.startsWith('/') ? file : `/${file}` }
  const parts = POSTGRES.exec(url)
  if (!parts) throw new Error(url.startsWith('postgres') ? `${FORMS}; ${ESCAPED}` : FORMS)
  return { kind: 'postgresql', server: serverOf(parts) }
}

/** The same text without what is secret in it. Of one that cannot be read nobody knows where its password ends: all is left out up to the last place where it may. */
export function withoutPassword(url: string): string {
  const password = POSTGRES.test(url) ? /(:\/\/[^:@/?]*):[^@/?]*@/ : /(:\/\/[^:@/?]*):.*@/s
  return url.replace(password, '$1:[secret]@').replace(SECRET_PARAMETER, '$1[secret]')
}

/** `sslpassword` of libpq, too, and up to a parameter that we know: a `&` may stand in a password by mistake. */
const SECRET_PARAMETER = new RegExp(`([?&]\\w*pass(?:word|wd|phrase)\\w*=).*?(?=&(?:${PARAMETERS.join('|')})=|$)`, 'gis')

/** For people: never the password. */
export const nameOfServer = ({ user, host, port, database }: PostgresServer): string =>
  host.startsWith('/')
    ? `postgresql://${user ?? ''}@/${database}?host=${host}`
    : `postgresql://${user ? `${user}@` : ''}${host}:${port}/${database}`

function serverOf([, user, password, host, port, database, query]: readonly (string | undefined)[]): PostgresServer {
  const given = parametersOf(query ?? '')
  const where = given.get('host') ?? decoded(host ?? '').replace(/^\[|\]$/g, '')
  if (where.includes(','))
    throw new Error('several hosts are not supported: name one address that follows the server, or a proxy in front of them')
  const name = given.get('dbname') ?? decoded(database ?? '')
  if (name === '') throw new Error('it names no database: end it with /DATABASE')
  const secret = given.get('password') ?? (password === undefined ? null : decoded(password))
  return {
    host: where === '' ? 'localhost' : where,
    port: number(given.get('port') ?? (port || String(STANDARD_PORT)), 'the port', 65_535),
    database: name,
    user: given.get('user') ?? (user ? decoded(user) : null),
    password: secret === null || secret === '' ? null : new Secret(secret),
    passfile: given.get('passfile') ?? null,
    tls: {
      mode: modeOf(given, where),
      rootCert: given.get('sslrootcert') ?? null,
      cert: given.get('sslcert') ?? null,
      key: given.get('sslkey') ?? null,
    },
    connectTimeoutSeconds: number(given.get('connect_timeout') ?? String(CONNECT_SECONDS), 'connect_timeout', 300) || CONNECT_SECONDS,
  }
}

function parametersOf(query: string): Map<string, string> {
  const given = new Map<string, string>()
  for (const pair of query.split('&').filter((text) => text !== '')) {
    const [name, ...value] = pair.split('=')
    if (!PARAMETERS.includes(name!))
      throw new Error(
        given.has('password')
          ? 'what follows its password is not a known parameter: write a "&" in the password as %26'
          : `its parameter ${name} is not known here; known are ${PARAMETERS.join(', ')}`,
      )
    given.set(name!, decoded(value.join('=')))
  }
  return given
}

/** Key shares go over this connection: to another machine it is verified unless the operator says otherwise; `require` with a root certificate verifies, as libpq does. */
function modeOf(given: ReadonlyMap<string, string>, host: string): SslMode {
  const word = given.get('sslmode')
  if (word === undefined) return isHere(host) ? 'disable' : 'verify-full'
  const mode = MODES[word]
  if (!mode) throw new Error(`sslmode=${word} is not one of ${Object.keys(MODES).join(', ')}`)
  return mode === 'require' && given.has('sslrootcert') ? 'verify-ca' : mode
}

const isHere = (host: string): boolean =>
  host === '' || host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host)

function number(text: string, what: string, high: number): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > high) throw new Error(`${what} must be a whole number up to ${high}`)
  return Number(text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('a "%" in it is not followed by two hexadecimal digits: write a percent sign as %25')
  }
}
